"""Every route that takes a form, as somebody sends it who means no good."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from web.test_direct_upload import counted
from web.test_photos import refused

# Those that Python knows and that fail in ways of their own, that read what can't be written, and what is none.
NOT_UTF_8 = ["undefined", "idna", "punycode", "utf-7", "utf-16", "latin-1", "zip", "a\0b", "", "none", '"utf 8"']
TWO_WAYS = ["/auth/login", "/records/async/presigned-url"]
STREAMED = ["/photos/?album_id=1", "/photos?album_id=1", "/uppy/{capability}/s3/form"]
PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n+2AA-xn--a\r\n--x--\r\n'


@pytest.fixture
async def capability(signed_in: httpx.AsyncClient) -> str:
    answer = await signed_in.post("/uppy/capabilities", json={"kind": "photo", "album_id": 1})
    return str(answer.json()["capability"])


async def send(client: httpx.AsyncClient, path: str, kind: str, body: bytes) -> dict[str, Any]:
    return refused(await client.post(path, content=body, headers={"Content-Type": kind}), 422, "VALIDATION_FAILED")


async def test_these_are_all_that_take_a_form(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    taking = {
        path for path, methods in paths.items()
        if any("form" in media for media in methods.get("post", {}).get("requestBody", {}).get("content", {}))
    }  # fmt: skip
    assert taking == {path.partition("?")[0] for path in TWO_WAYS + STREAMED}


@pytest.mark.parametrize("path", TWO_WAYS + STREAMED)
async def test_a_form_in_another_charset_than_utf_8_is_refused(
    signed_in: httpx.AsyncClient, app: FastAPI, capability: str, path: str
) -> None:
    path = path.format(capability=capability)
    for charset in NOT_UTF_8:
        for name in (b"username", b"+2AA-", b"file"):
            error = await send(signed_in, path, f"multipart/form-data; boundary=x; charset={charset}", PART % name)
            assert [detail["field"] for detail in error["details"]] == ["Content-Type"], charset
            assert "UTF-8" in error["message"]
        await send(signed_in, path, f"application/x-www-form-urlencoded; CharSet = {charset}", b"username=%ff")
    assert counted(app, "photo_api_exceptions_total") == 0


@pytest.mark.parametrize("path", TWO_WAYS + STREAMED)
async def test_a_content_type_that_is_there_twice_hides_no_charset(
    signed_in: httpx.AsyncClient, app: FastAPI, capability: str, path: str
) -> None:
    types = [f"multipart/form-data; boundary=x; charset={charset}" for charset in ("undefined", "utf-8")]
    for said in (types, types[::-1]):
        headers = [("Content-Type", one) for one in said]
        answer = await signed_in.post(path.format(capability=capability), content=PART % b"a", headers=headers)
        refused(answer, 422, "VALIDATION_FAILED")
    assert counted(app, "photo_api_exceptions_total") == 0


async def test_utf_8_by_any_of_its_names_is_read(client: httpx.AsyncClient, signed_in: httpx.AsyncClient) -> None:
    who = {"username": "owner@example.org", "password": "correct horse battery"}
    fields = {name: (None, value) for name, value in who.items()}
    sent = httpx.Request("POST", "http://testserver", files=fields)
    for charset in ("utf-8", "UTF-8", '"utf-8"', "UTF8"):
        headers = {"Content-Type": f"{sent.headers['content-type']}; charset={charset}"}
        assert (await client.post("/auth/login", content=sent.read(), headers=headers)).status_code == 200
        headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
        body = "username=owner%40example.org&password=correct+horse+battery"
        assert (await client.post("/auth/login", content=body, headers=headers)).status_code == 200
