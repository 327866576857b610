"""What Uppy asks of its Companion, as its two versions ask it. Uppy itself asks in `tests/flow/test_uppy.py`."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from conftest import HeldClock
from web.conftest import sign_in
from web.test_direct_upload import NOTHING, counted, form, left
from web.test_photos import refused

MIB = 2**20
JPEG = b"\xff\xd8\xff a picture, almost"
V5, V6 = {"Accept": "application/json"}, {"Accept": "*/*"}
FILE = {"filename": "바다 1.jpg", "type": "image/jpeg"}


@dataclass(frozen=True)
class Client:
    """Who has the capability, and nothing else."""

    http: httpx.AsyncClient
    url: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.http.request(method, f"{self.url}/s3{path}", **more)

    async def params(self, version: dict[str, str], **more: Any) -> httpx.Response:
        return await self.ask("GET", "/params", params=FILE | more, headers=version)

    async def send(self, params: dict[str, Any], body: bytes = JPEG) -> httpx.Response:
        if params["method"] == "PUT":
            return await self.http.put(params["url"], content=body, headers=params["headers"])
        return await self.http.post(params["url"], **form(*params["fields"].items(), ("file", body)))

    async def begin(
        self, filename: str = "바다 1.jpg", type: str = "image/jpeg", **metadata: Any
    ) -> tuple[str, dict[str, str]]:
        asked = {"filename": filename, "type": type, "metadata": {"name": "x", **metadata}}
        answer = await self.ask("POST", "/multipart", json=asked)
        assert answer.status_code == 200, answer.text
        return f"/multipart/{answer.json()['uploadId']}", {"key": answer.json()["key"]}

    async def put_part(self, path: str, key: dict[str, str], number: int, body: bytes) -> httpx.Response:
        signed = await self.ask("GET", f"{path}/{number}", params=key)
        assert signed.status_code == 200, signed.text
        return await self.http.put(signed.json()["url"], content=body)

    async def complete(self, path: str, key: dict[str, str], *etags: str) -> httpx.Response:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        return await self.ask("POST", f"{path}/complete", params=key, json={"parts": parts})


@pytest.fixture
async def uppy(signed_in: httpx.AsyncClient, client: httpx.AsyncClient, app: FastAPI) -> Client:
    return await with_capability(signed_in, app)


async def with_capability(signed_in: httpx.AsyncClient, app: FastAPI, **asked: Any) -> Client:
    answer = await signed_in.post("/uppy/capabilities", json={"kind": "photo", "album_id": 1} | asked)
    assert answer.status_code == 201, answer.text
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return Client(httpx.AsyncClient(transport=transport, base_url="http://testserver"), answer.json()["url"])


async def upload_of(signed_in: httpx.AsyncClient, upload_id: int) -> dict[str, Any]:
    found: dict[str, Any] = (await signed_in.get(f"/uploads/{upload_id}")).json()
    return found


# ── in one go ──


async def test_version_5_that_tells_the_size_puts_straight_to_storage(
    uppy: Client, signed_in: httpx.AsyncClient, app: FastAPI
) -> None:
    params = (await uppy.params(V5, **{"metadata[file_size]": len(JPEG)})).json()
    assert (params["method"], params["headers"]) == ("PUT", {"Content-Type": "image/jpeg"})
    assert await left(app) == (1, [], len(JPEG))  # an ordinary issue: awaited and reserved
    refused(await uppy.ask("POST", "/arrivals", params={"key": params["fields"]["key"]}), 404, "FILE_NOT_ARRIVED")
    assert (await uppy.send(params, JPEG + b"!")).status_code == 403
    assert (await uppy.send(params)).status_code == 200
    arrived = await uppy.ask("POST", "/arrivals", params={"key": params["fields"]["key"]})
    assert (arrived.status_code, arrived.json()["state"], arrived.json()["kind"]) == (200, "UPLOADED", "photo")
    assert (await uppy.ask("POST", "/arrivals", params={"key": params["fields"]["key"]})).json() == arrived.json()
    photo = (await signed_in.get(f"/photos/{arrived.json()['upload_id']}")).json()
    assert (photo["album_id"], photo["filename"], photo["file_size"]) == (1, "바다 1.jpg", len(JPEG))
    assert counted(app, "photo_api_presigned_url_generation_total", result="success") == 1


@pytest.mark.parametrize(("version", "size"), [(V6, {}), (V5, {}), (V6, {"metadata[file_size]": 21})])
async def test_others_send_a_form_that_is_streamed_through(
    uppy: Client, signed_in: httpx.AsyncClient, app: FastAPI, version: dict[str, str], size: dict[str, int]
) -> None:
    params = (await uppy.params(version, **size)).json()
    assert (params["method"], params["headers"]) == ("POST", {})
    assert params["fields"]["key"].startswith("photos/")
    assert await left(app) == NOTHING
    answer = await uppy.send(params)
    assert answer.status_code == 201, answer.text
    taken = answer.json()
    assert answer.headers["location"] == taken["location"] == f"http://testserver/uploads/{taken['upload_id']}"
    assert answer.headers["etag"].startswith('"')
    assert await left(app) == (1, [taken["key"]], len(JPEG))
    found = await upload_of(signed_in, taken["upload_id"])
    assert (found["state"], found["filename"], found["file_size"]) == ("UPLOADED", "바다 1.jpg", len(JPEG))
    assert counted(app, "photo_api_photo_upload_total", upload_method="direct", result="success") == 1


async def test_a_form_whose_answer_was_lost_makes_one_upload(uppy: Client, app: FastAPI) -> None:
    params = (await uppy.params(V6)).json()
    first, second = await uppy.send(params), await uppy.send(params)
    assert first.json() == second.json()
    assert first.headers["etag"] == second.headers["etag"]
    assert await left(app) == (1, [first.json()["key"]], len(JPEG))
    asked = await uppy.ask("POST", "/arrivals", params={"key": params["fields"]["key"]})
    assert asked.json() == first.json()


async def test_a_form_that_is_sent_again_needs_no_room_of_its_own(uppy: Client, app: FastAPI) -> None:
    params = (await uppy.params(V6)).json()
    first = await uppy.send(params)
    for full in ("used_bytes = 10737418240", "in_flight = 1000000"):
        await app.state.house.db.execute(f"UPDATE quotas SET {full}")
        again = await uppy.send(params)
        assert (again.status_code, again.json()) == (201, first.json())
    assert (await left(app))[:2] == (1, [first.json()["key"]])


async def test_a_form_that_is_no_good_leaves_nothing(uppy: Client, app: FastAPI) -> None:
    fields = (await uppy.params(V6)).json()["fields"]
    form_at = f"{uppy.url}/s3/form"

    async def sent(*parts: tuple[str, str | bytes], end: str = "--") -> httpx.Response:
        return await uppy.http.post(form_at, **form(*parts, end=end))

    refused(await sent(*fields.items(), ("file", b"")), 422, "VALIDATION_FAILED")
    refused(await sent(*fields.items(), ("file", JPEG), end=""), 422, "VALIDATION_FAILED")
    refused(await sent(*fields.items()), 422, "VALIDATION_FAILED")
    refused(await sent(("file", JPEG), *fields.items()), 422, "VALIDATION_FAILED")
    refused(await sent(*fields.items(), ("acl", "public-read"), ("file", JPEG)), 422, "VALIDATION_FAILED")
    for name, value, status, code in (
        ("key", "photos/no-uuid_a.jpg", 404, "OBJECT_NOT_FOUND"),
        ("key", "../../etc/passwd", 404, "OBJECT_NOT_FOUND"),
        ("content-type", "text/html", 400, "TYPE_NOT_ALLOWED"),
        ("filename", "a\0b.jpg", 422, "VALIDATION_FAILED"),
        ("filename", "x" * 1025, 422, "VALIDATION_FAILED"),
    ):
        refused(await sent(*(fields | {name: value}).items(), ("file", JPEG)), status, code)
    assert await left(app) == NOTHING


async def test_the_quota_holds_for_forms(uppy: Client, app: FastAPI) -> None:
    await app.state.house.db.execute("UPDATE quotas SET used_bytes = $1", 10 * 2**30 - len(JPEG))
    params = (await uppy.params(V6)).json()
    refused(await uppy.send(params, JPEG + b"!"), 403, "QUOTA_EXCEEDED")
    assert (await uppy.send(params)).status_code == 201
    refused(await uppy.params(V6), 403, "QUOTA_EXCEEDED")
    refused(await uppy.params(V5, **{"metadata[file_size]": 1}), 403, "QUOTA_EXCEEDED")


async def test_names_are_text_and_never_places(uppy: Client, signed_in: httpx.AsyncClient) -> None:
    for name in ("../../a.jpg", "/etc/passwd.jpg", "${filename}.jpg", 'a";x="b.jpg', "<b>.jpg"):
        params = (await uppy.params(V6, filename=name)).json()
        prefix, _, last = params["fields"]["key"].partition("/")
        assert (prefix, "/" in last, ".." in last, "$" in last) == ("photos", False, False, False)
        taken = (await uppy.send(params)).json()
        assert (await upload_of(signed_in, taken["upload_id"]))["filename"] == name


async def test_what_can_not_be_is_refused_in_words_that_uppy_shows(uppy: Client, app: FastAPI) -> None:
    for asked, status, code in (
        ({"type": "text/html"}, 400, "TYPE_NOT_ALLOWED"),
        ({"type": "undefined"}, 400, "TYPE_NOT_ALLOWED"),
        ({"filename": ""}, 422, "VALIDATION_FAILED"),
        ({"filename": "a\0.jpg"}, 422, "VALIDATION_FAILED"),
        ({"filename": "x" * 1025}, 422, "VALIDATION_FAILED"),
        ({"metadata[file_size]": "-1"}, 422, "VALIDATION_FAILED"),
        ({"metadata[file_size]": "many"}, 422, "VALIDATION_FAILED"),
        ({"metadata[file_size]": str(2**64)}, 422, "VALIDATION_FAILED"),
        ({"metadata[file_size]": str(101 * MIB)}, 413, "FILE_TOO_LARGE"),
    ):
        answer = await uppy.params(V5, **asked)
        error = refused(answer, status, code)
        assert answer.json()["message"] == error["message"]
    assert await left(app) == NOTHING


# ── in parts ──


@pytest.mark.parametrize("tells_size", [True, False])
async def test_a_file_in_parts(uppy: Client, signed_in: httpx.AsyncClient, app: FastAPI, tells_size: bool) -> None:
    pieces = [b"a" * 5 * MIB, b"b" * 5 * MIB, b"end"]
    total = sum(map(len, pieces))
    path, key = await uppy.begin(**({"file_size": str(total)} if tells_size else {}))
    assert (await uppy.ask("GET", path, params=key)).json() == []
    etags = {}
    for number in (3, 1, 2):
        answer = await uppy.put_part(path, key, number, pieces[number - 1])
        assert answer.status_code == 200, answer.text
        etags[number] = answer.headers["etag"]
    listed = (await uppy.ask("GET", path, params=key)).json()
    assert listed == [{"PartNumber": n, "ETag": etags[n], "Size": len(pieces[n - 1])} for n in (1, 2, 3)]
    completed = await uppy.complete(path, key, etags[1], etags[2].strip('"'), etags[3])
    assert completed.status_code == 200, completed.text
    assert (completed.json()["state"], completed.json()["key"]) == ("UPLOADED", key["key"])
    assert (await uppy.complete(path, key, *(etags[n] for n in (1, 2, 3)))).json() == completed.json()
    assert await left(app) == (1, [key["key"]], total)
    found = await upload_of(signed_in, completed.json()["upload_id"])
    assert (found["file_size"], found["content_type"]) == (total, "image/jpeg")
    events = (await signed_in.get(f"/uploads/{found['id']}/history")).json()["events"]
    assert [(event["what"], event["trigger"]) for event in events] == [("issued", "client"), ("arrived", "client")]


async def test_where_the_size_is_told_storage_takes_no_other_length(uppy: Client) -> None:
    path, key = await uppy.begin(file_size=5 * MIB + 1)
    assert (await uppy.put_part(path, key, 1, b"x" * MIB)).status_code == 403
    assert (await uppy.put_part(path, key, 2, b"xy")).status_code == 403
    assert (await uppy.put_part(path, key, 2, b"x")).status_code == 200
    refused(await uppy.ask("GET", f"{path}/3", params=key), 400, "NO_SUCH_PART")
    refused(await uppy.complete(path, key, "x"), 409, "PARTS_MISSING")


async def test_a_page_that_cuts_otherwise_says_so(uppy: Client, app: FastAPI) -> None:
    path, key = await uppy.begin(file_size=13 * MIB, part_size=6 * MIB)
    for number, size in ((1, 6), (2, 6), (3, 1)):
        assert (await uppy.put_part(path, key, number, b"x" * size * MIB)).status_code == 200
    big = await uppy.ask("POST", "/multipart", json={**FILE, "metadata": {"file_size": 9 * MIB, "part_size": 2**40}})
    refused(big, 422, "VALIDATION_FAILED")


async def test_where_nobody_tells_the_size_each_part_is_counted_before_it_is_stored(uppy: Client, app: FastAPI) -> None:
    house = app.state.house
    await house.db.execute("UPDATE quotas SET used_bytes = $1", 10 * 2**30 - 6 * MIB)
    path, key = await uppy.begin()
    assert (await uppy.put_part(path, key, 1, b"x" * 5 * MIB)).status_code == 200
    refused(await uppy.put_part(path, key, 2, b"x" * MIB), 403, "QUOTA_EXCEEDED")
    assert len((await uppy.ask("GET", path, params=key)).json()) == 1
    reserved = await house.db.fetchval("SELECT reserved_bytes FROM quotas WHERE user_id = 1")
    assert reserved == 5 * MIB + 1
    assert (await uppy.ask("DELETE", path, params=key)).json() == {}
    assert await house.db.fetchval("SELECT reserved_bytes FROM quotas WHERE user_id = 1") == 0
    assert [one async for one in house.storage.open_multiparts()] == []


async def test_a_file_that_grows_over_its_kinds_limit(uppy: Client, app: FastAPI) -> None:
    path, key = await uppy.begin()
    await app.state.house.db.execute("UPDATE uploads SET file_size = $1, reserved_bytes = $1", 100 * MIB - 2)
    await app.state.house.db.execute("UPDATE quotas SET reserved_bytes = $1 WHERE user_id = 1", 100 * MIB - 2)
    refused(await uppy.put_part(path, key, 1, b"1234"), 413, "FILE_TOO_LARGE")
    assert (await uppy.put_part(path, key, 1, b"123")).status_code == 200


async def test_parts_that_make_no_file(uppy: Client, app: FastAPI) -> None:
    path, key = await uppy.begin()
    refused(await uppy.complete(path, key, "x"), 409, "PARTS_MISSING")
    first = (await uppy.put_part(path, key, 1, b"x" * 5 * MIB)).headers["etag"]
    third = (await uppy.put_part(path, key, 3, b"end")).headers["etag"]
    refused(await uppy.complete(path, key, first, "x", third), 409, "PARTS_MISSING")
    second = (await uppy.put_part(path, key, 2, b"short")).headers["etag"]
    refused(await uppy.complete(path, key, first, second, third), 409, "PARTS_DIFFER")
    second = (await uppy.put_part(path, key, 2, b"y" * 5 * MIB)).headers["etag"]
    refused(await uppy.complete(path, key, first, second, first), 409, "PARTS_DIFFER")
    refused(await uppy.complete(path, key, first, second, third, third), 409, "PARTS_MISSING")
    assert (await uppy.complete(path, key, first, second, third)).status_code == 200
    assert (await left(app))[2] == 10 * MIB + 3


async def test_numbers_of_parts_that_are_none(uppy: Client) -> None:
    path, key = await uppy.begin()
    for number in ("0", "10001", "-1", "x", "1.5"):
        answer = await uppy.ask("GET", f"{path}/{number}", params=key)
        assert answer.json()["message"] == refused(answer, 422, "VALIDATION_FAILED")["message"]


async def test_a_part_says_its_length(uppy: Client) -> None:
    path, key = await uppy.begin()
    url = (await uppy.ask("GET", f"{path}/1", params=key)).json()["url"]

    async def unknown() -> Any:
        yield b"x"

    refused(await uppy.http.put(url, content=unknown()), 422, "VALIDATION_FAILED")
    refused(await uppy.http.put(url, content=b""), 422, "VALIDATION_FAILED")


async def test_a_part_larger_than_any_body_is_no_body(uppy: Client) -> None:
    """`MOORING_MAX_BODY_BYTES` is for words, not for files."""
    path, key = await uppy.begin()
    assert (await uppy.put_part(path, key, 1, b"x" * 5 * MIB)).status_code == 200
    refused(await uppy.ask("POST", "/multipart", content=b" " * 3 * MIB), 413, "BODY_TOO_LARGE")


async def test_what_has_arrived_is_not_aborted(uppy: Client, app: FastAPI) -> None:
    """Uppy 5 gives up where it merely lost the answer to its `complete`."""
    path, key = await uppy.begin()
    etag = (await uppy.put_part(path, key, 1, b"x" * 5 * MIB)).headers["etag"]
    assert (await uppy.complete(path, key, etag)).status_code == 200
    answer = await uppy.ask("DELETE", path, params=key)
    assert (answer.status_code, answer.json()) == (200, {})
    assert await left(app) == (1, [key["key"]], 5 * MIB)


async def test_an_aborted_upload_is_gone(uppy: Client, app: FastAPI) -> None:
    for file_size in (0, 5 * MIB):
        path, key = await uppy.begin(file_size=file_size)
        await uppy.put_part(path, key, 1, b"x" * 5 * MIB)
        answer = await uppy.ask("DELETE", path, params=key)
        assert (answer.status_code, answer.json()) == (200, {})
        for method, where in (("GET", path), ("GET", f"{path}/1"), ("DELETE", path)):
            refused(await uppy.ask(method, where, params=key), 404, "UPLOAD_NOT_FOUND")
    assert await left(app) == NOTHING


# ── whose ──


async def test_a_capability_opens_nothing_but_its_own(uppy: Client, signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    path, key = await uppy.begin()
    await signed_in.post("/albums", json={"title": "Winter"})
    other_album = await with_capability(signed_in, app, album_id=2)
    recordings = (await signed_in.post("/uppy/capabilities", json={"kind": "recording"})).json()["url"]
    await sign_in(signed_in, "other@example.org")
    await signed_in.post("/albums", json={"title": "Theirs"})
    others = await with_capability(signed_in, app, album_id=3)
    for client in (other_album, Client(uppy.http, recordings), others):
        for method, where, more in (
            ("GET", path, {}),
            ("GET", f"{path}/1", {}),
            ("PUT", f"{path}/1", {"content": b"x"}),
            ("POST", f"{path}/complete", {"json": {"parts": [{"PartNumber": 1, "ETag": "x"}]}}),
            ("DELETE", path, {}),
        ):
            refused(await client.ask(method, where, params=key, **more), 404, "UPLOAD_NOT_FOUND")
        arrival = await client.ask("POST", "/arrivals", params=key)
        assert arrival.status_code == 404
    for wrong in ("photos/x", key["key"] + "x", "photos/" + "0" * 36):
        refused(await uppy.ask("GET", path, params={"key": wrong}), 404, "UPLOAD_NOT_FOUND")
    refused(await uppy.ask("GET", path), 422, "VALIDATION_FAILED")
    assert (await uppy.ask("GET", path, params=key)).status_code == 200


async def test_a_form_for_somebody_elses_key_is_refused(
    uppy: Client, signed_in: httpx.AsyncClient, app: FastAPI
) -> None:
    params = (await uppy.params(V6)).json()
    mine = await uppy.send(params)
    await sign_in(signed_in, "other@example.org")
    await signed_in.post("/albums", json={"title": "Theirs"})
    others = await with_capability(signed_in, app, album_id=2)
    answer = await others.http.post(f"{others.url}/s3/form", **form(*params["fields"].items(), ("file", b"theirs")))
    refused(answer, 404, "OBJECT_NOT_FOUND")
    assert await left(app) == (1, [mine.json()["key"]], len(JPEG))


async def test_a_capability_that_is_none(uppy: Client, clock: HeldClock, app: FastAPI) -> None:
    good = uppy.url.rpartition("/")[2]
    user, kind, target, lapse, proof = good.split(".")
    forged = [
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        ".".join(["2", kind, target, lapse, proof]),
        ".".join([user, "video", target, lapse, proof]),
        ".".join([user, kind, "Mg", lapse, proof]),
        ".".join([user, kind, target, str(int(lapse) + 1), proof]),
        ".".join([user, kind, target, lapse, ""]),
        "capabilities",
        "x" * 3000,
        "한",
        "%00",
    ]
    for text in forged:
        answer = await uppy.http.get(f"http://testserver/uppy/{text}/s3/params", params=FILE)
        assert answer.json()["message"] == refused(answer, 403, "URL_NOT_VALID")["message"]
    assert (await uppy.params(V6)).status_code == 200
    clock.forward(hours=4)
    answer = await uppy.params(V6)
    assert "lapsed" in refused(answer, 403, "URL_NOT_VALID")["message"]


async def test_a_capability_ends_with_its_account(uppy: Client, app: FastAPI) -> None:
    path, key = await uppy.begin()
    await app.state.house.db.execute("UPDATE users SET is_active = false")
    refused(await uppy.params(V6), 403, "URL_NOT_VALID")
    refused(await uppy.ask("GET", f"{path}/1", params=key), 403, "URL_NOT_VALID")


async def test_a_capability_ends_with_its_album(uppy: Client, signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    form_of = (await uppy.params(V6)).json()
    await signed_in.delete("/albums/1")
    refused(await uppy.send(form_of), 404, "ALBUM_NOT_FOUND")
    refused(await uppy.params(V5, **{"metadata[file_size]": 9}), 404, "ALBUM_NOT_FOUND")
    refused(await uppy.ask("POST", "/multipart", json=FILE), 404, "ALBUM_NOT_FOUND")
    assert await left(app) == NOTHING


async def test_capabilities_that_nobody_gets(signed_in: httpx.AsyncClient) -> None:
    photo = {"kind": "photo", "album_id": 1}
    refused(await signed_in.post("/uppy/capabilities", json=photo | {"album_id": 9}), 404, "ALBUM_NOT_FOUND")
    for asked in (
        {"kind": "photo"},
        {"kind": "recording", "album_id": 1},
        {"kind": "recording", "project_id": 1},
        {"kind": "video", "project_id": ""},
        {"kind": "video", "project_id": 1.5},
        {"kind": "anything"},
        photo | {"expires_in": 86_401},
        photo | {"expires_in": 0},
        photo | {"album_id": "1"},
        photo | {"user_id": 2},
    ):
        refused(await signed_in.post("/uppy/capabilities", json=asked), 422, "VALIDATION_FAILED")


async def test_who_is_not_signed_in_gets_none(client: httpx.AsyncClient) -> None:
    answer = await client.post("/uppy/capabilities", json={"kind": "photo", "album_id": 1})
    refused(answer, 401, "NOT_SIGNED_IN")


async def test_the_life_of_a_capability_is_as_asked(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    answer = await signed_in.post("/uppy/capabilities", json={"kind": "photo", "album_id": 1, "expires_in": 60})
    assert answer.json()["expires_at"] == "2030-01-02T03:05:05Z"
    assert answer.json()["url"] == f"http://testserver/uppy/{answer.json()['capability']}"


async def test_a_recording_waits_for_its_record(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    asked = {"kind": "recording"}
    url = (await signed_in.post("/uppy/capabilities", json=asked)).json()["url"]
    client = Client(signed_in, url)
    params = (await client.params(V6, type="audio/webm", filename="a.webm")).json()
    taken = (await client.send(params)).json()
    assert (taken["kind"], taken["state"]) == ("recording", "UPLOADED")
    record = await signed_in.post("/records/async", json={"title": "Song", "uploadId": taken["upload_id"]})
    assert record.status_code == 201 or record.status_code == 200, record.text


async def test_a_video_has_its_project(signed_in: httpx.AsyncClient) -> None:
    for project in (7, "여름 / 2030", None):
        url = (await signed_in.post("/uppy/capabilities", json={"kind": "video", "project_id": project})).json()["url"]
        client = Client(signed_in, url)
        path, key = await client.begin(filename="a.mp4", type="video/mp4", file_size=7 * MIB)
        etags = [
            (await client.put_part(path, key, n, b"x" * size)).headers["etag"]
            for n, size in ((1, 5 * MIB), (2, 2 * MIB))
        ]
        taken = (await client.complete(path, key, *etags)).json()
        assert (taken["kind"], taken["state"]) == ("video", "UPLOADED")
        video = (await signed_in.get(f"/api/videos/{taken['upload_id']}")).json()
        assert (video["projectId"], video["filename"]) == (project, "a.mp4")


# ── what others see ──


async def test_metrics_and_logs_show_the_route_and_never_the_capability(
    uppy: Client, client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("made to fail")

    capability = uppy.url.rpartition("/")[2]
    with structlog.testing.capture_logs() as logged:
        assert (await uppy.params(V6)).status_code == 200
        await uppy.begin()
        refused(await uppy.params(V6, type="text/html"), 400, "TYPE_NOT_ALLOWED")
        monkeypatch.setattr(type(app.state.house.uppy.direct), "check_room", broken)
        refused(await uppy.params(V6), 500, "INTERNAL_ERROR")
    shown = (await client.get("/metrics")).text
    assert 'handler="/uppy/{capability}/s3/params"' in shown
    assert 'handler="/uppy/{capability}/s3/multipart"' in shown
    assert capability not in shown
    assert [line["path"] for line in logged if "path" in line] == ["/uppy/…/s3/params"]
    assert capability not in str([{**line, "exc_info": None} for line in logged])


async def test_pages_of_other_origins_may_ask_and_read_what_they_need(uppy: Client) -> None:
    origin = {"Origin": "https://page.example"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = await uppy.ask("OPTIONS", "/multipart", headers=origin | asks)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "*")
    answer = await uppy.ask("GET", "/params", params=FILE, headers=origin)
    exposed = answer.headers["access-control-expose-headers"]
    assert {"ETag", "Location"} <= set(exposed.split(", "))
