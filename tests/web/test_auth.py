"""Accounts as a client sees them: statuses, shapes, headers, and what hostile bodies get."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from conftest import HeldClock
from mooring.accounts.users import create_user
from mooring.db.pool import Database
from mooring.web.callers import Admin, SignedIn

ADA = {"email": "Ada@example.org", "password": "correct horse battery"}


@pytest.fixture
async def ada(client: httpx.AsyncClient) -> dict[str, Any]:
    """Her tokens."""
    await client.post("/auth/register", json=ADA)
    tokens: dict[str, Any] = (await client.post("/auth/login", json=ADA)).json()
    return tokens


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# ── as it should be ──────────────────────────────────────────────────────────────────────────────


async def test_from_registering_to_signing_out(client: httpx.AsyncClient, clock: HeldClock) -> None:
    registered = await client.post("/auth/register", json=ADA)
    assert registered.status_code == 201
    user = registered.json()
    assert user == {
        "id": user["id"],
        "email": "Ada@example.org",
        "role": "user",
        "plan": "free",
        "created_at": "2030-01-02T03:04:05Z",
    }
    tokens = (await client.post("/auth/login", json=ADA)).json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
    assert (await client.get("/auth/me", headers=bearer(tokens))).json() == user
    refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200
    assert set(refreshed.json()) == set(tokens)
    again = {"refresh_token": refreshed.json()["refresh_token"]}
    signed_out = await client.post("/auth/logout", json=again)
    assert (signed_out.status_code, signed_out.content) == (204, b"")
    assert code(await client.post("/auth/refresh", json=again)) == (401, "SESSION_ENDED")


@pytest.mark.parametrize("extra", [{}, {"grant_type": "password", "scope": "", "client_id": "x", "client_secret": ""}])
async def test_the_authorize_button_signs_in_with_its_form(
    client: httpx.AsyncClient, ada: dict[str, Any], extra: dict[str, str]
) -> None:
    form = {"username": "ada@example.org", "password": ADA["password"], **extra}
    by_form = await client.post("/auth/login", data=form)
    assert by_form.status_code == 200
    assert set(by_form.json()) == set(ada)
    by_parts = await client.post("/auth/login", files={name: (None, value) for name, value in form.items()})
    assert by_parts.status_code == 200


async def test_the_openapi_says_how_to_sign_in(client: httpx.AsyncClient) -> None:
    spec = (await client.get("/openapi.json")).json()
    scheme = spec["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    assert scheme["flows"]["password"]["tokenUrl"] == "/auth/login"
    assert spec["paths"]["/auth/me"]["get"]["security"] == [{"OAuth2PasswordBearer": []}]
    assert set(spec["paths"]["/auth/login"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "application/x-www-form-urlencoded",
    }


async def test_who_calls_is_known_to_the_route_and_to_the_log(
    app: FastAPI, client: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    @app.get("/who")
    async def who(request: Request, caller: SignedIn) -> list[int]:
        return [caller.user_id, request.scope["user_id"]]

    for scheme in ("Bearer", "bearer", "BEARER"):
        header = {"authorization": f"{scheme} {ada['access_token']}"}
        user_id, logged = (await client.get("/who", headers=header)).json()
        assert user_id == logged


async def test_what_is_for_admins_is_for_admins(
    app: FastAPI, client: httpx.AsyncClient, ada: dict[str, Any], db: Database
) -> None:
    @app.get("/for-admins")
    async def for_admins(caller: Admin) -> int:
        return caller.user_id

    assert code(await client.get("/for-admins", headers=bearer(ada))) == (403, "ADMINS_ONLY")
    assert code(await client.get("/for-admins")) == (401, "NOT_SIGNED_IN")
    root = await create_user(db, "root@example.org", "correct horse", "admin", "premium")
    login = {"email": "root@example.org", "password": "correct horse"}
    tokens = (await client.post("/auth/login", json=login)).json()
    assert (await client.get("/for-admins", headers=bearer(tokens))).json() == root.id


# ── as it should not be ──────────────────────────────────────────────────────────────────────────


async def test_an_email_is_registered_once(client: httpx.AsyncClient, ada: dict[str, Any]) -> None:
    assert code(await client.post("/auth/register", json={**ADA, "email": "ada@EXAMPLE.org"})) == (
        409,
        "EMAIL_TAKEN",
    )


async def test_wrong_credentials_are_401_and_too_many_say_when_to_try_again(
    client: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    wrong = {**ADA, "password": "wrong"}
    for _ in range(10):
        assert code(await client.post("/auth/login", json=wrong)) == (401, "WRONG_CREDENTIALS")
    refused = await client.post("/auth/login", json=ADA)
    assert code(refused) == (429, "TOO_MANY_ATTEMPTS")
    assert 290 <= int(refused.headers["retry-after"]) <= 300


@pytest.mark.parametrize(
    "header",
    [
        None, b"", b"Bearer", b"Bearer ", b"Bearer  ", b"Basic YWRhOng=", b"Bearer no.to.ken",
        b"Bearer a b c", b"Token x", b"Bearer " + b"x" * 100_000,
        b"Bearer \xff\xfe.\xff.\xff", "Bearer é.é.é".encode(),
    ],
)  # fmt: skip
async def test_a_header_that_is_no_token_is_401_with_a_sentence(
    client: httpx.AsyncClient, header: bytes | None
) -> None:
    answer = await client.get("/auth/me", headers=[] if header is None else [(b"authorization", header)])
    assert code(answer) == (401, "NOT_SIGNED_IN")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["message"].endswith((".", "'."))


async def test_an_expired_token_says_that_it_expired(
    client: httpx.AsyncClient, ada: dict[str, Any], clock: HeldClock
) -> None:
    assert (await client.get("/auth/me", headers=bearer(ada))).status_code == 200
    clock.forward(minutes=15)
    answer = await client.get("/auth/me", headers=bearer(ada))
    assert code(answer) == (401, "NOT_SIGNED_IN")
    assert "expired" in answer.json()["error"]["message"]


async def test_a_user_who_is_gone_is_not_described(
    client: httpx.AsyncClient, ada: dict[str, Any], db: Database
) -> None:
    await db.execute("DELETE FROM users")
    assert code(await client.get("/auth/me", headers=bearer(ada))) == (401, "NOT_SIGNED_IN")


HOSTILE = [
    b"", b"{", b"null", b"[]", b'"text"', b"5", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"email":' * 10_000,
    b'{"email": "a@b.c"}', b'{"email": 5, "password": 5}', b'{"email": null, "password": null}',
    b'{"email": ["a@b.c"], "password": {"a": 1}}', b'{"email": true, "password": "long enough"}',
    b'{"email": "a@b.c", "password": "nul\\u0000 inside"}',
    b'{"email": "a\\u0000@b.c", "password": "long enough"}',
    b'{"email": "\\ud800@b.c", "password": "long enough"}',
    b'{"email": "a@b.c", "password": "\\ud800\\ud800\\ud800\\ud800..."}',
    b'{"email": "a@b.c", "password": "long enough", "role": "admin"}',
    b'{"email": "a@b.c", "password": "long enough", "is_active": true}',
    json.dumps({"email": "a@b.c", "password": "x" * 1025}).encode(),
    json.dumps({"email": "a@b.c", "password": "x" * 900_000}).encode(),
    json.dumps({"email": "a" * 900_000 + "@b.c", "password": "long enough"}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"])
async def test_hostile_bodies_are_refused_and_not_echoed(client: httpx.AsyncClient, db: Database, path: str) -> None:
    for body in HOSTILE:
        answer = await client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), body[:80]  # 400: nested too deep to be read at all
        assert answer.json()["error"]["message"], body[:80]
        assert len(answer.content) < 2000, body[:80]
        assert b"long enough" not in answer.content, body[:80]
    assert await db.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b""), ("application/x-www-form-urlencoded", b"username=ada"),
        ("application/x-www-form-urlencoded", b"username=%00&password=long+enough"),
        ("application/x-www-form-urlencoded", b"username=%ff%fe&password=%ff"),
        ("application/x-www-form-urlencoded", b"&".join(b"a=%d" % n for n in range(5000))),
        ("application/x-www-form-urlencoded", b"username=" + b"x" * 900_000 + b"&password=y"),
        ("multipart/form-data", b""), ("multipart/form-data; boundary=x", b"--x\r\nrubbish"),
        ("multipart/form-data; boundary=" + "x" * 300, b"--"),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="username"; filename="f"\r\n\r\nada\r\n--x--\r\n'),
        ("text/plain", b"ada"), ("", b"ada"), ("application/json; charset=utf-16", "{}".encode("utf-16")),
    ],
)  # fmt: skip
async def test_hostile_forms_are_refused(client: httpx.AsyncClient, content_type: str, body: bytes) -> None:
    answer = await client.post("/auth/login", content=body, headers={"content-type": content_type})
    assert answer.status_code in (400, 401, 422)
    assert set(answer.json()["error"]) >= {"code", "message", "timestamp", "path"}


@pytest.mark.parametrize(
    ("email", "password", "status"),
    [
        ("a@b", "eight888", 201), ("a@b", "seven77", 422), ("a@b", "x" * 1024, 201), ("a@b", "x" * 1025, 422),
        ("a" * 64 + "@" + "b" * 189, "long enough", 201), ("a" * 64 + "@" + "b" * 190, "long enough", 422),
        ("a" * 65 + "@b", "long enough", 422), ("한글@예시.한국", "비밀번호비밀번호", 201),
        ("a@b", " " * 8, 201),
        ("ada", "long enough", 422), ("a@b@c", "long enough", 422), ("a b@c", "long enough", 422),
        ("a@b.c\n", "long enough", 422), ("a@b..c", "long enough", 422), ("a@b", "tab\tinside", 422),
        ("Ada <ada@example.org>", "long enough", 422), ("o'brien+tag@example.org", "long enough", 201),
    ],
)  # fmt: skip
async def test_the_limits_of_an_email_and_a_password(
    client: httpx.AsyncClient, email: str, password: str, status: int
) -> None:
    account = {"email": email, "password": password}
    assert (await client.post("/auth/register", json=account)).status_code == status
    if status == 201:
        assert (await client.post("/auth/login", json=account)).status_code == 200
