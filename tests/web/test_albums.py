"""Albums over HTTP."""

from typing import Any

import httpx
import pytest

from web.conftest import sign_in
from web.test_photos import issue, put, refused


async def photo_in(client: httpx.AsyncClient, album_id: int = 1) -> int:
    """One that arrived."""
    issued = await issue(client, album_id=album_id)
    await put(client, issued)
    photo_id: int = issued["photo_id"]
    assert (await client.post("/photos/confirm", json={"photo_id": photo_id})).status_code == 200
    return photo_id


async def album(client: httpx.AsyncClient, **about: Any) -> int:
    made = await client.post("/albums", json={"title": "Winter", **about})
    album_id: int = made.json()["id"]
    return album_id


async def test_an_album_is_looked_at_changed_and_deleted(signed_in: httpx.AsyncClient) -> None:
    made = (await signed_in.post("/albums", json={"title": " 겨울 ", "description": "Snow"})).json()
    where = f"/albums/{made['id']}"
    assert (await signed_in.get(where)).json() == made
    assert (made["title"], made["photo_count"], made["cover_photo_id"]) == ("겨울", 0, None)
    changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"title": "Winter"}, {"title": "Winter"}),
        ({"description": None}, {"description": None}),
        ({"title": "Both", "description": "again"}, {"title": "Both", "description": "again"}),
    ]
    for change, outcome in changes:
        made |= outcome
        answer = await signed_in.patch(where, json=change)
        assert (answer.status_code, answer.json()) == (200, made)
    deleted = await signed_in.delete(where)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        refused(await signed_in.request(method, where), 404, "ALBUM_NOT_FOUND")
    refused(await signed_in.patch(where, json={}), 404, "ALBUM_NOT_FOUND")
    assert len((await signed_in.get("/albums")).json()["albums"]) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"title": None}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"title": "nul\x00"}, "title"),
        ({"description": "x" * 10_001}, "description"),
        ({"description": 1}, "description"),
        ({"owner_id": 2}, "owner_id"),
    ],
)
async def test_a_change_that_is_not_valid_is_named(
    signed_in: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    error = refused(await signed_in.patch("/albums/1", json=change), 422, "VALIDATION_FAILED")
    assert [detail["field"] for detail in error["details"]] == [field]
    assert (await signed_in.get("/albums/1")).json()["title"] == "Summer"


async def test_photos_are_put_into_an_album_and_taken_out(signed_in: httpx.AsyncClient) -> None:
    winter = await album(signed_in)
    photos = [await photo_in(signed_in) for _ in range(3)]
    where = f"/albums/{winter}/photos"
    added = await signed_in.post(where, json={"photo_ids": photos[::-1]})
    assert (added.status_code, added.json()) == (200, {"album_id": winter, "added": photos})
    again = await signed_in.post(where, json={"photo_ids": photos})
    assert (again.status_code, again.json()["added"]) == (200, [])
    listed = (await signed_in.get(where)).json()["photos"]
    assert listed == (await signed_in.get("/photos")).json()["photos"][::-1], "of the same shape"
    assert (await signed_in.delete(f"{where}/{photos[0]}")).status_code == 204
    refused(await signed_in.delete(f"{where}/{photos[0]}"), 404, "PHOTO_NOT_FOUND")
    assert (await signed_in.get(f"/albums/{winter}")).json()["photo_count"] == 2
    assert (await signed_in.get(f"/photos/{photos[0]}")).json()["album_id"] == 1


async def test_pages_of_an_album_follow_each_other(signed_in: httpx.AsyncClient) -> None:
    photos = [await photo_in(signed_in) for _ in range(5)]
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    while cursor is not None:
        page = (await signed_in.get("/albums/1/photos", params={"limit": 2, **cursor})).json()
        seen += [photo["id"] for photo in page["photos"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == photos


@pytest.mark.parametrize(
    ("photo_ids", "field"),
    [
        ([], "photo_ids"),
        (list(range(1, 1002)), "photo_ids"),
        ([0], "photo_ids.0"),
        ([1, "2"], "photo_ids.1"),
        ([2**63], "photo_ids.0"),
        ([None], "photo_ids.0"),
        (1, "photo_ids"),
        (None, "photo_ids"),
    ],
)
async def test_photo_ids_that_are_none_are_refused(signed_in: httpx.AsyncClient, photo_ids: Any, field: str) -> None:
    answer = await signed_in.post("/albums/1/photos", json={"photo_ids": photo_ids})
    assert [one["field"] for one in refused(answer, 422, "VALIDATION_FAILED")["details"]] == [field]


async def test_one_wrong_photo_keeps_all_out(signed_in: httpx.AsyncClient) -> None:
    winter = await album(signed_in)
    photo, waiting = await photo_in(signed_in), (await issue(signed_in))["photo_id"]
    where = f"/albums/{winter}/photos"
    refused(await signed_in.post(where, json={"photo_ids": [photo, 10**9]}), 404, "PHOTO_NOT_FOUND")
    refused(await signed_in.post(where, json={"photo_ids": [photo, waiting]}), 404, "FILE_NOT_ARRIVED")
    assert (await signed_in.get(where)).json() == {"photos": [], "next_cursor": None}
    thousand = {"photo_ids": [photo] * 1000}
    assert (await signed_in.post(where, json=thousand)).json()["added"] == [photo]


async def test_putting_photos_into_an_album_with_a_key_is_done_once(signed_in: httpx.AsyncClient) -> None:
    winter = await album(signed_in)
    photo = await photo_in(signed_in)
    where, key = f"/albums/{winter}/photos", {"Idempotency-Key": "k"}
    answers = [await signed_in.post(where, json={"photo_ids": [photo]}, headers=key) for _ in range(2)]
    assert [answer.json()["added"] for answer in answers] == [[photo], [photo]]
    other = await signed_in.post(where, json={"photo_ids": [photo, photo]}, headers=key)
    refused(other, 409, "IDEMPOTENCY_KEY_REUSED")


async def test_other_peoples_albums_are_not_there(signed_in: httpx.AsyncClient) -> None:
    photo = await photo_in(signed_in)
    await sign_in(signed_in, "stranger@example.org")
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/albums/1", None),
        ("PATCH", "/albums/1", {"title": "Mine"}),
        ("DELETE", "/albums/1", None),
        ("GET", "/albums/1/photos", None),
        ("POST", "/albums/1/photos", {"photo_ids": [photo]}),
        ("DELETE", f"/albums/1/photos/{photo}", None),
        ("POST", "/albums/1/share-links", {}),
        ("GET", "/albums/1/share-links", None),
    ]
    for method, path, body in calls:
        refused(await signed_in.request(method, path, json=body), 404, "ALBUM_NOT_FOUND")
    own = await album(signed_in)
    refused(await signed_in.post(f"/albums/{own}/photos", json={"photo_ids": [photo]}), 404, "PHOTO_NOT_FOUND")
    del signed_in.headers["Authorization"]
    for method, path, body in calls:
        refused(await signed_in.request(method, path, json=body), 401, "NOT_SIGNED_IN")


async def test_a_deleted_album_takes_its_own_photos_along(signed_in: httpx.AsyncClient) -> None:
    winter = await album(signed_in)
    kept, gone = await photo_in(signed_in), await photo_in(signed_in)
    await signed_in.post(f"/albums/{winter}/photos", json={"photo_ids": [kept]})
    assert (await signed_in.delete("/albums/1")).status_code == 204
    photos = (await signed_in.get("/photos")).json()["photos"]
    assert [(photo["id"], photo["album_id"]) for photo in photos] == [(kept, None)]
    refused(await signed_in.get(f"/photos/{gone}"), 404, "PHOTO_NOT_FOUND")
    refused(await signed_in.post("/photos/confirm", json={"photo_id": gone}), 404, "PHOTO_NOT_FOUND")
