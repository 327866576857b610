from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from web.conftest import sign_in

BODY = b"\xff\xd8\xff and so on"
NEW = {"album_id": 1, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": len(BODY)}


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Every refusal comes in the envelope."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["message"]
    assert error["timestamp"].endswith("Z")
    assert error["path"] == answer.request.url.path
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


async def issue(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/photos/presigned-url", json={**NEW, **more})
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def put(
    client: httpx.AsyncClient, issued: dict[str, Any], body: bytes = BODY, content_type: str = "image/jpeg"
) -> httpx.Response:
    headers = {**issued["upload_headers"], "Content-Type": content_type}
    return await client.put(issued["upload_url"], content=body, headers=headers)


async def test_from_the_url_to_the_confirmed_photo(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in, filename="한글 이름.jpg")
    assert set(issued) == {"photo_id", "upload_url", "upload_headers", "expires_at", "object_key"}
    assert (await put(signed_in, issued)).status_code == 200
    confirmed = await signed_in.post("/photos/confirm", json={"photo_id": issued["photo_id"]})
    assert confirmed.status_code == 200
    answer = confirmed.json()
    assert (set(answer), answer["filename"]) == ({"photo_id", "filename", "url"}, "한글 이름.jpg")
    assert (await signed_in.get(answer["url"])).content == BODY
    photo = (await signed_in.get(f"/photos/{issued['photo_id']}")).json()
    assert (photo["state"], photo["album_id"], photo["file_size"]) == ("UPLOADED", 1, len(BODY))
    listed = (await signed_in.get("/photos")).json()
    assert [one["id"] for one in listed["photos"]] == [issued["photo_id"]]
    albums = (await signed_in.get("/albums")).json()["albums"]
    assert [(album["title"], album["photo_count"]) for album in albums] == [("Summer", 1)]


async def test_the_checks_come_in_the_guides_order(client: httpx.AsyncClient, signed_in: httpx.AsyncClient) -> None:
    """401, 413, 400, 404: each request below has every later mistake too."""
    wrong = {**NEW, "album_id": 999, "content_type": "text/html", "file_size": 10**12}
    token = client.headers.pop("Authorization")
    refused(await client.post("/photos/presigned-url", json=wrong), 401, "NOT_SIGNED_IN")
    client.headers["Authorization"] = token
    refused(await client.post("/photos/presigned-url", json=wrong), 413, "FILE_TOO_LARGE")
    wrong["file_size"] = 10
    refused(await client.post("/photos/presigned-url", json=wrong), 400, "TYPE_NOT_ALLOWED")
    wrong["content_type"] = "image/png"
    refused(await client.post("/photos/presigned-url", json=wrong), 404, "ALBUM_NOT_FOUND")


@pytest.mark.parametrize(
    "change",
    [
        {"file_size": 0},
        {"file_size": -1},
        {"file_size": "10"},
        {"file_size": 2**63},
        {"file_size": 1.5},
        {"file_size": None},
        {"album_id": 0},
        {"album_id": "1"},
        {"filename": ""},
        {"filename": "x" * 1025},
        {"filename": "nul\x00.jpg"},
        {"filename": ["a.jpg"]},
        {"checksum_sha256": "zz"},
        {"owner_id": 7},
    ],
)
async def test_a_field_that_is_not_valid_is_named(signed_in: httpx.AsyncClient, change: dict[str, Any]) -> None:
    answer = await signed_in.post("/photos/presigned-url", json={**NEW, **change})
    error = refused(answer, 422, "VALIDATION_FAILED")
    assert [detail["field"] for detail in error["details"]] == list(change)


async def test_a_thousand_in_a_batch_and_not_one_more(signed_in: httpx.AsyncClient) -> None:
    files = [{**NEW, "filename": f"{number}.jpg"} for number in range(1000)]
    for file in files:
        del file["album_id"]
    answer = await signed_in.post("/photos/presigned-url/batch", json={"album_id": 1, "files": files})
    photos = answer.json()["photos"]
    assert [photo["object_key"].rpartition("_")[2] for photo in photos] == [file["filename"] for file in files]
    more = {"album_id": 1, "files": [*files, files[0]]}
    refused(await signed_in.post("/photos/presigned-url/batch", json=more), 422, "VALIDATION_FAILED")
    none = {"album_id": 1, "files": []}
    refused(await signed_in.post("/photos/presigned-url/batch", json=none), 422, "VALIDATION_FAILED")


async def test_storage_refuses_other_bytes_than_the_url_is_for(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    issued = await issue(signed_in)
    refused(await put(signed_in, issued, content_type="text/html"), 403, "URL_NOT_VALID")
    refused(await put(signed_in, issued, BODY + b"!"), 403, "URL_NOT_VALID")
    refused(await put(signed_in, issued, BODY[:-1]), 403, "URL_NOT_VALID")
    photo_id = {"photo_id": issued["photo_id"]}
    refused(await signed_in.post("/photos/confirm", json=photo_id), 404, "FILE_NOT_ARRIVED")
    assert (await put(signed_in, issued)).status_code == 200
    refused(await put(signed_in, issued), 412, "OBJECT_EXISTS")
    assert (await signed_in.post("/photos/confirm", json=photo_id)).status_code == 200
    late = await issue(signed_in)
    clock.forward(minutes=16)
    await sign_in(signed_in, "owner@example.org")
    refused(await put(signed_in, late), 403, "URL_NOT_VALID")
    assert (await signed_in.get(f"/uploads/{late['photo_id']}")).json()["state"] == "PENDING"


async def test_a_declared_checksum_is_held_against_the_bytes(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in, checksum_sha256="0" * 64)
    refused(await put(signed_in, issued), 400, "CHECKSUM_DIFFERS")
    photo_id = {"photo_id": issued["photo_id"]}
    refused(await signed_in.post("/photos/confirm", json=photo_id), 404, "FILE_NOT_ARRIVED")


async def test_what_is_somebody_elses_is_not_there(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in)
    await put(signed_in, issued)
    await sign_in(signed_in, "stranger@example.org")
    photo_id = issued["photo_id"]
    refused(await signed_in.post("/photos/presigned-url", json=NEW), 404, "ALBUM_NOT_FOUND")
    refused(await signed_in.post("/photos/confirm", json={"photo_id": photo_id}), 404, "PHOTO_NOT_FOUND")
    refused(await signed_in.get(f"/photos/{photo_id}"), 404, "PHOTO_NOT_FOUND")
    refused(await signed_in.delete(f"/photos/{photo_id}"), 404, "PHOTO_NOT_FOUND")
    for call in (f"/uploads/{photo_id}", f"/uploads/{photo_id}/history"):
        refused(await signed_in.get(call), 404, "UPLOAD_NOT_FOUND")
    refused(await signed_in.post(f"/uploads/{photo_id}/renew"), 404, "UPLOAD_NOT_FOUND")
    batch = await signed_in.post("/photos/confirm/batch", json={"photo_ids": [photo_id]})
    assert batch.json()["results"][0]["error"]["code"] == "PHOTO_NOT_FOUND"
    assert (await signed_in.get("/photos")).json()["photos"] == []


async def test_pages_follow_each_other_by_their_cursor(signed_in: httpx.AsyncClient) -> None:
    ids = []
    for _ in range(5):
        issued = await issue(signed_in)
        await put(signed_in, issued)
        ids.append(issued["photo_id"])
    await signed_in.post("/photos/confirm/batch", json={"photo_ids": ids})
    seen, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await signed_in.get("/photos", params=params)).json()
        seen += [photo["id"] for photo in page["photos"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]


async def test_a_renewed_url_works_and_the_history_tells_it(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    issued = await issue(signed_in)
    clock.forward(minutes=20)
    await sign_in(signed_in, "owner@example.org")
    renewed = (await signed_in.post(f"/uploads/{issued['photo_id']}/renew")).json()
    assert (renewed["id"], renewed["object_key"]) == (issued["photo_id"], issued["object_key"])
    assert (await put(signed_in, renewed)).status_code == 200
    await signed_in.post("/photos/confirm", json={"photo_id": issued["photo_id"]})
    history = (await signed_in.get(f"/uploads/{issued['photo_id']}/history")).json()
    assert [event["what"] for event in history["events"]] == ["issued", "renewed", "arrived"]
    refused(await signed_in.post(f"/uploads/{issued['photo_id']}/renew"), 409, "UPLOAD_NOT_PENDING")


async def test_tracking_shows_a_user_their_own_and_an_admin_all(
    signed_in: httpx.AsyncClient, app: FastAPI, clock: HeldClock
) -> None:
    issued = await issue(signed_in)
    clock.forward(minutes=20)
    await sign_in(signed_in, "owner@example.org")
    own = (await signed_in.get("/photos/upload-tracking")).json()
    assert (own["total_count"], own["by_user_id"], own["by_album_id"]) == (1, {"1": 1}, {"1": 1})
    assert own["sample_records"][0]["upload_id"] == issued["photo_id"]
    await sign_in(signed_in, "other@example.org")
    assert (await signed_in.get("/photos/upload-tracking")).json()["total_count"] == 0
    await app.state.house.db.execute("UPDATE users SET role = 'admin' WHERE email = 'other@example.org'")
    await sign_in(signed_in, "other@example.org")
    assert (await signed_in.get("/photos/upload-tracking")).json() == own
    later = {"since": clock().isoformat()}
    assert (await signed_in.get("/photos/upload-tracking", params=later)).json()["total_count"] == 0


async def test_a_deleted_photo_is_gone_everywhere(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in)
    await put(signed_in, issued)
    answer = await signed_in.post("/photos/confirm", json={"photo_id": issued["photo_id"]})
    assert (await signed_in.delete(f"/photos/{issued['photo_id']}")).status_code == 204
    refused(await signed_in.get(answer.json()["url"]), 404, "OBJECT_NOT_FOUND")
    refused(await signed_in.delete(f"/photos/{issued['photo_id']}"), 404, "PHOTO_NOT_FOUND")
    assert (await signed_in.get("/albums")).json()["albums"][0]["photo_count"] == 0


@pytest.mark.parametrize("number", ["1%0B", "%201", "+1", "1_0", "1%20", "%D9%A1", "1.0", "0x1"])
@pytest.mark.parametrize(
    "where", ["/photos/{}", "/albums/{}", "/photos?limit={}", "/photos?cursor={}", "/albums?limit={}"]
)
async def test_a_number_in_an_address_is_written_in_digits(
    signed_in: httpx.AsyncClient, where: str, number: str
) -> None:
    refused(await signed_in.get(where.format(number)), 422, "VALIDATION_FAILED")
    assert (await signed_in.get(where.format(1))).status_code in (200, 404)
