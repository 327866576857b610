"""Which file is the image of a photo, asked of the database."""

import asyncio

import pytest

from mooring.library.images import Images, Size, in_album, of_owner
from mooring.uploads.lifecycle import Move, State, Trigger, advance
from world import BODY, World


async def made(world: World, photo_id: int, name: str, content_type: str = "image/webp") -> str:
    key = f"made/{photo_id}/{name}"
    await world.db.execute(
        "INSERT INTO renditions (upload_id, name, object_key, content_type, width, height, size_bytes, etag) "
        "VALUES ($1, $2, $3, $4, 1, 1, 7, $5)",
        photo_id,
        name,
        key,
        content_type,
        f"etag of {name}",
    )
    return key


async def test_the_original_is_the_uploaded_file_as_it_arrived(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    file = await of_owner(world.db, upload.id, user, Size.original)
    assert file is not None
    assert (file.object_key, file.etag, file.size_bytes) == (upload.object_key, upload.etag, len(BODY))
    assert (file.content_type, file.filename, file.modified_at) == ("image/jpeg", "a.jpg", world.clock())


async def test_large_and_thumb_are_the_original_until_they_are_made(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    for size in (Size.large, Size.thumb):
        assert await of_owner(world.db, upload.id, user, size) == await of_owner(
            world.db, upload.id, user, Size.original
        )
        key = await made(world, upload.id, size)
        file = await of_owner(world.db, upload.id, user, size)
        assert file is not None
        assert (file.object_key, file.etag, file.content_type) == (key, f"etag of {size}", "image/webp")
        assert (file.size_bytes, file.filename, file.modified_at) == (7, "a.webp", None)


async def test_there_is_no_image_of_what_did_not_arrive_or_was_given_up(world: World) -> None:
    user, album = await world.owner()
    pending = (await world.issue(user, album)).photo_id
    assert await of_owner(world.db, pending, user, Size.original) is None
    upload = await world.arrived(user, album)
    await made(world, upload.id, "clean")
    await advance(
        world.db, State.REJECTED, [Move(upload.id, Trigger.WORKER, error="no")], what="rejected", at=world.clock()
    )
    assert await of_owner(world.db, upload.id, user, Size.original) is None
    assert await in_album(world.db, album, upload.id, Size.original) is None


async def test_somebody_elses_photo_has_no_image(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    assert await of_owner(world.db, upload.id, await world.user(), Size.original) is None
    assert await of_owner(world.db, 2**63 - 1, user, Size.original) is None


async def test_those_who_ask_at_once_each_get_their_own_answer(world: World) -> None:
    user, album = await world.owner()
    stranger = await world.user()
    uploads = [await world.arrived(user, album) for _ in range(3)]
    images = Images(world.db)
    asked = [(upload, who) for upload in uploads for who in (user, stranger)] * 4
    found = await asyncio.gather(*(images.of_owner(up.id, user_id=who, size=Size.thumb) for up, who in asked))
    assert [file and file.object_key for file in found] == [up.object_key if who == user else None for up, who in asked]


async def test_a_share_link_shows_only_what_was_made(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    for size in Size:
        assert await in_album(world.db, album, upload.id, size) is None
        key = await made(world, upload.id, "clean" if size is Size.original else size, "image/jpeg")
        file = await in_album(world.db, album, upload.id, size)
        assert file is not None
        assert (file.object_key, file.filename) == (key, "a.jpg")


async def test_a_share_link_shows_no_photo_of_another_album(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    await made(world, upload.id, "thumb")
    assert await in_album(world.db, await world.album(user), upload.id, Size.thumb) is None
    assert await in_album(world.db, album, upload.id + 1, Size.thumb) is None


@pytest.mark.parametrize(
    ("given", "made_name"),
    [
        ("C:\\Users\\Ada\\My.Secret\\바다.HEIC", "바다.jpg"),
        ("/home/of/ada/sea", "sea.jpg"),
        (".hidden", ".hidden.jpg"),
        ("two.dots.png", "two.dots.jpg"),
    ],
)
async def test_a_filename_goes_without_its_owners_folders(world: World, given: str, made_name: str) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album, filename=given)
    await world.put(ticket.put)
    await world.photos.confirm(ticket.photo_id, user_id=user)
    await made(world, ticket.photo_id, "clean", "image/jpeg")
    shared = await in_album(world.db, album, ticket.photo_id, Size.original)
    own = await of_owner(world.db, ticket.photo_id, user, Size.original)
    assert shared is not None
    assert own is not None
    assert shared.filename == made_name
    assert own.filename == given.replace("\\", "/").rpartition("/")[2]
