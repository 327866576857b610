"""Share links: who gets in, how often, and what a guest may know."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from conftest import HeldClock
from mooring.accounts.networks import client_id
from mooring.accounts.passwords import Passwords
from mooring.errors import (
    AlbumNotFound,
    MooringError,
    NotAcceptable,
    ShareLinkGone,
    ShareLinkNotFound,
    ShareLinkNotOpened,
    SharePasswordRequired,
    TooManyAttempts,
    TooManyGuesses,
    WrongSharePassword,
)
from mooring.library.images import Size
from mooring.library.share_links import LinkTerms, ShareLinks
from mooring.library.share_pass import ShareKey
from mooring.library.share_throttle import ShareThrottle
from mooring.library.shared import Guest, Shared, SharedPage
from mooring.observe.metrics import Metrics
from world import World

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.7"
PASSWORD = "열려라 참깨"


@dataclass
class Sharing:
    world: World
    links: ShareLinks
    shared: Shared

    async def link(self, owner: int, album: int, **terms: Any) -> tuple[int, str]:
        """Its id and its token."""
        given = LinkTerms(
            terms.get("lapses_in"),
            terms.get("expires_at"),
            await self.links.hash_password(terms.get("password")),
            terms.get("max_views"),
        )
        made = await self.links.create(album, given, owner_id=owner)
        return made.link.id, self.links.key.token(made.seed)

    async def open(self, token: str, address: str = HERE, **shows: Any) -> SharedPage:
        return await self.shared.open(Guest(token, address, **shows), after=None, limit=100)

    async def sees(self, token: str, photo: int, size: Size = Size.thumb, **shows: Any) -> str | None:
        image = await self.shared.image(Guest(token, HERE, **shows), photo, size)
        return image.file.object_key if image.file else None

    def counted(self, name: str, **labels: str) -> float:
        return self.shared.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def sharing(world: World) -> Iterator[Sharing]:
    passwords = Passwords(PasswordHasher(memory_cost=64, time_cost=1, parallelism=1))
    key = ShareKey.derived_from("a secret of the tests")
    links = ShareLinks(world.db, world.clock, passwords, key, "https://share.example")
    yield Sharing(world, links, Shared(world.db, world.clock, passwords, key, Metrics()))
    passwords.close()


async def outcomes(*calls: Any) -> Counter[str]:
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [one for one in done if isinstance(one, BaseException) and not isinstance(one, MooringError)] == []
    return Counter(type(one).__name__ for one in done)


# ── its owner ──


async def test_only_the_hash_of_a_token_is_kept(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    _, token = await sharing.link(owner, album, password=PASSWORD)
    assert len(token) == 43
    row = str(dict(await sharing.world.db.fetchrow("SELECT * FROM share_links") or {}))
    assert token not in row
    assert PASSWORD not in row
    assert sharing.links.url(token) == f"https://share.example/share/{token}"


async def test_the_owner_sees_what_became_of_each_link(sharing: Sharing, clock: HeldClock) -> None:
    owner, album = await sharing.world.owner()
    plain, token = await sharing.link(owner, album)
    lapsing, _ = await sharing.link(owner, album, lapses_in=timedelta(hours=1))
    single, once = await sharing.link(owner, album, max_views=1)
    revoked, _ = await sharing.link(owner, album, password=PASSWORD)
    await sharing.open(token)
    await sharing.open(token)
    await sharing.open(once)
    await sharing.links.revoke(revoked, owner_id=owner)
    at = clock()
    clock.forward(hours=2)
    await sharing.links.revoke(revoked, owner_id=owner)
    listed = {link.id: link for link in await sharing.links.page(album, owner_id=owner, before=None, limit=10)}
    assert list(listed) == [revoked, single, lapsing, plain]
    assert {id_: link.views for id_, link in listed.items()} == {plain: 2, lapsing: 0, single: 1, revoked: 0}
    assert [link.id for link in listed.values() if link.is_active] == [plain]
    assert (listed[revoked].revoked_at, listed[revoked].has_password) == (at, True)
    rest = await sharing.links.page(album, owner_id=owner, before=lapsing, limit=10)
    assert [link.id for link in rest] == [plain]


async def test_what_is_somebody_elses_is_not_there(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    stranger = await sharing.world.user()
    link, token = await sharing.link(owner, album)
    with pytest.raises(AlbumNotFound):
        await sharing.link(stranger, album)
    with pytest.raises(AlbumNotFound):
        await sharing.links.page(album, owner_id=stranger, before=None, limit=10)
    with pytest.raises(ShareLinkNotFound):
        await sharing.links.revoke(link, owner_id=stranger)
    assert (await sharing.open(token)).album.title == "Summer"


async def test_a_link_can_not_end_before_it_begins(sharing: Sharing, clock: HeldClock) -> None:
    owner, album = await sharing.world.owner()
    for expires_at in (clock(), clock() - timedelta(days=1)):
        with pytest.raises(NotAcceptable):
            await sharing.link(owner, album, expires_at=expires_at)


async def test_the_links_of_a_deleted_album_are_unknown(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    _, token = await sharing.link(owner, album)
    await sharing.world.albums.delete(album, owner_id=owner)
    with pytest.raises(ShareLinkNotFound):
        await sharing.open(token)


# ── views ──


async def test_a_hundred_at_once_get_in_as_often_as_there_are_views(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    _, token = await sharing.link(owner, album, max_views=10)
    assert await outcomes(*(sharing.open(token) for _ in range(100))) == {"SharedPage": 10, "ShareLinkGone": 90}
    [link] = await sharing.links.page(album, owner_id=owner, before=None, limit=1)
    assert (link.views, link.is_active) == (10, False)
    opened = "photo_api_share_link_access_total"
    assert sharing.counted(opened, token_status="valid", result="success") == 10
    assert sharing.counted(opened, token_status="expired", result="denied") == 90


async def test_a_used_up_link_still_shows_its_images_to_those_who_opened_it(sharing: Sharing, clock: HeldClock) -> None:
    owner, album = await sharing.world.owner()
    photo = (await sharing.world.processed(owner, album)).id
    _, token = await sharing.link(owner, album, max_views=1)
    with pytest.raises(ShareLinkNotOpened):
        await sharing.sees(token, photo)
    page = await sharing.open(token)
    passes = [page.viewing.text]
    assert page.needs_pass
    for _ in range(3):
        assert await sharing.sees(token, photo, passes=passes) == f"renditions/{photo}_thumb"
        assert (await sharing.open(token, passes=passes)).viewing == page.viewing
    with pytest.raises(ShareLinkGone):
        await sharing.sees(token, photo)
    clock.forward(minutes=15)
    for call in (sharing.sees(token, photo, passes=passes), sharing.open(token, passes=passes)):
        with pytest.raises(ShareLinkGone):
            await call
    [link] = await sharing.links.page(album, owner_id=owner, before=None, limit=1)
    assert link.views == 1


async def test_a_pass_opens_no_other_link(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    _, one = await sharing.link(owner, album, max_views=1)
    _, other = await sharing.link(owner, album, max_views=1)
    passed = (await sharing.open(one)).viewing
    await sharing.open(other)
    until, _, proof = passed.text.partition("-")
    later = f"{int(until) + 900}-{proof}"
    for text in (
        passed.text,
        later,
        "",
        "-",
        f"-{proof}",
        f"{until}-",
        "9" * 10_000,
        f"{'9' * 11}-{proof}",
        "٣-" + proof,
    ):
        with pytest.raises(ShareLinkGone):
            await sharing.open(other, passes=[text])
    with pytest.raises(ShareLinkGone):
        await sharing.open(one, passes=[later])
    assert await sharing.open(one, passes=["", later, passed.text])


async def test_revoking_ends_a_link_at_once_for_those_who_have_it_open(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    photo = (await sharing.world.processed(owner, album)).id
    link, token = await sharing.link(owner, album)
    passes = [(await sharing.open(token)).viewing.text]
    assert await sharing.sees(token, photo, passes=passes)
    await sharing.links.revoke(link, owner_id=owner)
    for call in (sharing.open(token, passes=passes), sharing.sees(token, photo, passes=passes)):
        with pytest.raises(ShareLinkGone, match="revoked"):
            await call


async def test_revoked_in_the_middle_of_being_opened_it_lets_nobody_in_afterwards(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    link, token = await sharing.link(owner, album)
    calls = [sharing.open(token) for _ in range(50)]
    await outcomes(*calls, sharing.links.revoke(link, owner_id=owner))
    [seen] = await sharing.links.page(album, owner_id=owner, before=None, limit=1)
    assert seen.views == sharing.counted("photo_api_share_link_access_total", token_status="valid", result="success")
    with pytest.raises(ShareLinkGone):
        await sharing.open(token)


async def test_a_link_that_ends_while_the_password_is_checked_lets_nobody_in(
    sharing: Sharing, clock: HeldClock
) -> None:
    owner, album = await sharing.world.owner()

    class Meanwhile(Passwords):
        async def match(self, password: str, password_hash: str | None) -> bool:
            await sharing.links.revoke(revoked, owner_id=owner)
            clock.forward(hours=1)
            return True

    revoked, token = await sharing.link(owner, album, password=PASSWORD)
    _, lapsing = await sharing.link(owner, album, password=PASSWORD, lapses_in=timedelta(hours=2))
    sharing.shared = replace(sharing.shared, passwords=Meanwhile())
    with pytest.raises(ShareLinkGone):
        await sharing.open(token, password="any")
    with pytest.raises(ShareLinkGone):
        await sharing.open(lapsing, password="any")
    assert await sharing.world.db.fetchval("SELECT sum(views) FROM share_links") == 0


async def test_a_link_expires(sharing: Sharing, clock: HeldClock) -> None:
    owner, album = await sharing.world.owner()
    photo = (await sharing.world.processed(owner, album)).id
    _, token = await sharing.link(owner, album, lapses_in=timedelta(minutes=5))
    page = await sharing.open(token)
    image = await sharing.shared.image(Guest(token, HERE), photo, Size.thumb)
    assert page.expires_at == image.until == clock() + timedelta(minutes=5)
    clock.forward(minutes=5)
    for call in (sharing.open(token), sharing.sees(token, photo, passes=[page.viewing.text])):
        with pytest.raises(ShareLinkGone, match="expired"):
            await call


# ── what is in it ──


async def test_only_the_albums_own_photos_are_seen_and_only_as_processed(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    photo = (await sharing.world.processed(owner, album)).id
    raw = (await sharing.world.arrived(owner, album)).id
    elsewhere = (await sharing.world.processed(owner, await sharing.world.album(owner))).id
    _, token = await sharing.link(owner, album)
    page = await sharing.open(token)
    assert {one.id: sorted(one.sizes) for one in page.photos} == {photo: ["large", "original", "thumb"], raw: []}
    assert await sharing.sees(token, photo, Size.original) == f"renditions/{photo}_clean"
    for missing in (raw, elsewhere, 10**9):
        for size in Size:
            assert await sharing.sees(token, missing, size) is None
    images = "photo_api_share_link_image_access_total"
    assert sharing.counted(images, token_status="valid", photo_in_album="yes") == 1 + 3
    assert sharing.counted(images, token_status="valid", photo_in_album="no") == 6


async def test_an_empty_album_is_shown_empty(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    _, token = await sharing.link(owner, album)
    page = await sharing.open(token)
    assert (page.photos, page.album.photo_count, page.needs_pass) == ([], 0, False)


async def test_a_guest_is_told_nothing_of_folders(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    for filename in ("C:\\Users\\ada\\여름.jpg", "/var/ada/여름.jpg", "여름.jpg"):
        ticket = await sharing.world.issue(owner, album, filename=filename)
        await sharing.world.put(ticket.put)
        await sharing.world.photos.confirm(ticket.photo_id, user_id=owner)
    _, token = await sharing.link(owner, album)
    assert [photo.filename for photo in (await sharing.open(token)).photos] == ["여름.jpg"] * 3


# ── passwords ──


async def test_a_password_is_asked_for_and_a_pass_stands_for_it(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    photo = (await sharing.world.processed(owner, album)).id
    _, token = await sharing.link(owner, album, password=PASSWORD)
    for call in (sharing.open(token), sharing.sees(token, photo)):
        with pytest.raises(SharePasswordRequired):
            await call
    for wrong in ("", "sesame", PASSWORD + " ", "x" * 2_000, "\x00"):
        with pytest.raises(WrongSharePassword):
            await sharing.open(token, password=wrong)
    page = await sharing.open(token, password=PASSWORD)
    assert await sharing.sees(token, photo, passes=[page.viewing.text])
    assert await sharing.sees(token, photo, password=PASSWORD)
    [link] = await sharing.links.page(album, owner_id=owner, before=None, limit=1)
    assert link.views == 1, "a wrong password is no view"


async def test_guessing_a_password_is_slow_and_locks_nobody_else_out(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    _, token = await sharing.link(owner, album, password=PASSWORD)
    _, other = await sharing.link(owner, album, password=PASSWORD)
    passes = [(await sharing.open(token, password=PASSWORD)).viewing.text]
    burst = await outcomes(*(sharing.open(token, password=f"guess {n}") for n in range(100)))
    assert burst == {"WrongSharePassword": 10, "TooManyAttempts": 90}
    with pytest.raises(TooManyAttempts) as refusal:
        await sharing.open(token, password=PASSWORD)
    assert 1 <= refusal.value.retry_after <= 300
    assert await sharing.open(token, passes=passes), "who has a pass is not asked"
    assert await sharing.open(token, ELSEWHERE, password=PASSWORD)
    assert await sharing.open(other, password=PASSWORD)
    opened = "photo_api_share_link_access_total"
    assert sharing.counted(opened, token_status="valid", result="denied") == 101


def test_a_link_guessed_at_from_everywhere_is_slow_and_never_closed() -> None:
    throttle = ShareThrottle()
    for n in range(100):
        throttle.try_password(1, f"192.0.2.{n // 2}")
        throttle.wrong_password(1)
    for n in range(50):
        with pytest.raises(TooManyAttempts):
            throttle.try_password(1, f"192.0.2.{n}")
    for _ in range(2):
        throttle.try_password(1, HERE)
    with pytest.raises(TooManyAttempts):
        throttle.try_password(1, HERE)
    throttle.try_password(1, ELSEWHERE)
    throttle.try_password(2, HERE)
    throttle.right_password(1, HERE)
    throttle.try_password(1, HERE)


def test_many_who_know_the_password_are_no_siege() -> None:
    throttle = ShareThrottle()
    for _ in range(200):
        throttle.try_password(1, HERE)
        throttle.right_password(1, HERE)
    for _ in range(10):
        throttle.try_password(1, HERE)


# ── unknown tokens ──


async def test_an_unknown_token_is_not_found_and_guessing_is_counted_and_slow(sharing: Sharing) -> None:
    owner, album = await sharing.world.owner()
    photo = (await sharing.world.processed(owner, album)).id
    _, token = await sharing.link(owner, album)
    passes = [(await sharing.open(token)).viewing.text]
    made_up = [
        "",
        "x",
        token[:-1],
        token + "A",
        "x" * 10_240,
        "\x00",
        "한" * 43,
        "/" * 43,
        *("A" * 42 + c for c in "bcdefg"),
    ]
    for wrong in made_up:
        with pytest.raises(ShareLinkNotFound):
            await sharing.open(wrong)
    burst = await outcomes(*(sharing.open(f"{n:043}") for n in range(100)))
    assert burst == {"ShareLinkNotFound": 30 - len(made_up), "TooManyGuesses": 70 + len(made_up)}
    for call in (sharing.open(token), sharing.sees(token, photo)):
        with pytest.raises(TooManyGuesses) as refusal:
            await call
        assert 1 <= refusal.value.retry_after <= 60
    assert await sharing.open(token, passes=passes)
    assert await sharing.sees(token, photo, passes=passes)
    assert await sharing.open(token, ELSEWHERE)
    guesses = "photo_api_share_link_brute_force_attempts_total"
    assert sharing.counted(guesses, client_id="203.0.113.0/24") == len(made_up) + 102
    opened = "photo_api_share_link_access_total"
    assert sharing.counted(opened, token_status="invalid", result="denied") == len(made_up) + 101


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_label_has_only_a_part_of_the_address(address: str, label: str) -> None:
    assert client_id(address) == label


def test_only_so_many_guessers_have_a_series_of_their_own() -> None:
    metrics = Metrics()
    for n in range(250):
        metrics.share_guessed(client_id(f"10.0.{n}.1"))
    shown = [
        sample.labels["client_id"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "photo_api_share_link_brute_force_attempts_total"
    ]
    assert len(shown) == 101
    value = metrics.registry.get_sample_value
    assert value("photo_api_share_link_brute_force_attempts_total", {"client_id": "other"}) == 150
