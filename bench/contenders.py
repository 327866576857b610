"""Who is measured: Mooring, the usual service, the empty route; how each starts, and who is in it."""

import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import asyncpg
from joserfc import jwt
from joserfc.jwk import OctKey

from ground import BENCH, BENCH_PYTHON, OTHER_CORES, PYTHON, Server, free_port, serving
from load import CONNECTIONS, Ask
from mooring.accounts.tokens import AccessTokens

USERS = range(1, CONNECTIONS + 1)  # one per connection, each with one album of the same number
SECRET = "the secret of the bench, known to all who read it"
SIZE, ETAG = 2_345_678, "9b2cf535f27731c974343645a3985328"  # of every object in the stub storage
FILE = {"filename": "IMG_2041.jpg", "content_type": "image/jpeg", "file_size": SIZE}
BATCH = 500
CDN_URL, CDN_SECRET = "https://cdn.example.com", "testsecret"
LONG = timedelta(hours=6)  # life of the bench's tokens

UVICORN = ("-m", "uvicorn", "--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=warning")


# ── servers ──


def stub_storage() -> AbstractContextManager[Server]:
    port = free_port()
    command = [PYTHON, BENCH / "stub_s3.py", str(port), str(SIZE), ETAG]
    return serving("stub", command, port=port, alive="/", cores=OTHER_CORES)


def mooring(database_url: str, storage: Server, **env: str) -> AbstractContextManager[Server]:
    """As it is installed, but for limits that a load test would run into."""
    port = free_port()
    return serving(
        "mooring",
        [PYTHON.with_name("mooring"), "serve", "--port", str(port)],
        port=port,
        alive="/health/live",
        env={
            "MOORING_DATABASE_URL": database_url,
            "MOORING_STORAGE": f"s3://photos?endpoint={storage.url}&region=us-east-1&style=path",
            "MOORING_S3_ACCESS_KEY_ID": "testkey",
            "MOORING_S3_SECRET_ACCESS_KEY": "testsecret",
            "MOORING_SECRET": SECRET,
            "MOORING_QUOTA_FREE_IN_FLIGHT": "1000000000",
            "MOORING_QUOTA_FREE_BYTES": str(2**60),
            "MOORING_RATE_LIMITS": "off",
            "MOORING_WORKER": "off",  # the stub has no pictures to work on
            **env,
        },
    )


def usual(database_url: str, storage: Server) -> AbstractContextManager[Server]:
    port = free_port()
    env = {
        "DATABASE_URL": database_url.replace("postgresql://", "postgresql+asyncpg://", 1),
        "SECRET_KEY": SECRET,
        "S3_ENDPOINT": storage.url,
    }
    subprocess.run([BENCH_PYTHON, "-m", "usual.create"], cwd=BENCH, env=env, check=True)
    command = [BENCH_PYTHON, *UVICORN, "--port", str(port), "usual.main:app"]
    return serving("usual", command, port=port, alive="/docs", env=env)


def empty_route() -> AbstractContextManager[Server]:
    port = free_port()
    command = [BENCH_PYTHON, *UVICORN, "--port", str(port), "empty_route:app"]
    return serving("empty", command, port=port, alive="/docs")


# ── people ──


def seed_mooring(url: str) -> None:
    query(
        url,
        f"INSERT INTO users (id, email, password_hash) SELECT n, n || '@example.com', 'none' {_EACH}",
        f"INSERT INTO albums (id, owner_id, title, created_at, updated_at) SELECT n, n, 'Summer', now(), now() {_EACH}",
    )


def seed_usual(url: str) -> None:
    query(
        url,
        f"INSERT INTO users (id, email, hashed_password, is_active) "
        f"SELECT n, n || '@example.com', 'none', true {_EACH}",
        f"INSERT INTO albums (id, owner_id, title) SELECT n, n, 'Summer' {_EACH}",
    )


_EACH = f"FROM generate_series({USERS[0]}, {USERS[-1]}) AS n"


def query(url: str, *statements: str) -> list[Any]:
    """Run them; the rows of the last."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetch(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


def mooring_tokens() -> list[str]:
    ours = AccessTokens.signed_with(SECRET, LONG)
    return [ours.mint(user, "user", "free", datetime.now(UTC)) for user in USERS]


def usual_tokens() -> list[str]:
    key = OctKey.import_key(SECRET)
    lapses = int(time.time() + LONG.total_seconds())
    return [jwt.encode({"alg": "HS256"}, {"sub": str(user), "exp": lapses}, key) for user in USERS]


# ── what is asked ──


def issues(tokens: Iterable[str]) -> list[Ask]:
    return [
        post("/photos/presigned-url", token, {"album_id": user, **FILE})
        for user, token in zip(USERS, tokens, strict=True)
    ]


def batches(tokens: Iterable[str]) -> list[Ask]:
    return [
        post("/photos/presigned-url/batch", token, {"album_id": user, "files": [FILE] * BATCH})
        for user, token in zip(USERS, tokens, strict=True)
    ]


def confirms(tokens: list[str], photo_ids: Iterable[int]) -> Iterator[Ask]:
    """The photos belong to the users in turn, as `pending_at_…` make them."""
    for turn, photo_id in enumerate(photo_ids):
        yield post("/photos/confirm", tokens[turn % len(tokens)], {"photo_id": photo_id})


def post(path: str, token: str, body: object) -> Ask:
    return Ask("POST", path, token, json.dumps(body))


# ── photos that wait for their confirm ──


def pending_at_mooring(server: Server, tokens: list[str], count: int) -> list[int]:
    """Issued the ordinary way, by batches."""
    rounds = -(-count // (BATCH * len(tokens)))
    of_each = [list(chain.from_iterable(_issue_batch(server, ask) for _ in range(rounds))) for ask in batches(tokens)]
    return list(chain.from_iterable(zip(*of_each, strict=True)))[:count]


def _issue_batch(server: Server, ask: Ask) -> list[int]:
    request = urllib.request.Request(
        server.url + ask.path,
        ask.body.encode(),
        {"Authorization": f"Bearer {ask.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return [one["photo_id"] for one in json.load(answer)["photos"]]


def pending_at_usual(url: str, count: int) -> list[int]:
    rows = query(
        url,
        f"""WITH photo AS (
            INSERT INTO photos (album_id, owner_id, filename, content_type, file_size, object_key, status)
            SELECT user_id, user_id, 'IMG_2041.jpg', 'image/jpeg', {SIZE},
                   'photos/' || gen_random_uuid() || '.jpg', 'PENDING'
            FROM (SELECT 1 + (n - 1) % {len(USERS)} AS user_id FROM generate_series(1, {count}) AS n) AS turn
            RETURNING id, owner_id, album_id
        ), event AS (
            INSERT INTO upload_events (upload_id, what) SELECT id, 'issued' FROM photo
        ), ledger AS (
            INSERT INTO temp_upload_records (upload_id, album_id, user_id, issued_at, expires_at)
            SELECT id, album_id, owner_id, now(), now() + interval '15 minutes' FROM photo
        )
        SELECT id, owner_id FROM photo ORDER BY id""",
    )
    first = next(place for place, row in enumerate(rows) if row["owner_id"] == USERS[0])
    return [row["id"] for row in rows[first:]]
