"""Ten thousand uploads that nobody told of, one in ten of them really there, on Swift: what the sweep asks of storage,
and what a person feels of it who uses the server meanwhile."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

import contenders
from asked import Asked
from contenders import BATCH, query
from ground import BENCH, OTHER_CORES, PYTHON, ROOT, WORK, Server, free_port, serving
from mooring.db.migrate import migrate
from mooring.storage.s3 import S3Storage
from mooring.storage.s3_bucket import Bucket
from table import Line, at_most

PENDING, EVERY = int(os.environ.get("BENCH_PENDING", "10000")), 10
BODY = b"0123456789"
AT_ONCE = 10  # the setting's default
MOST_DELAY_MS = 50
QUIET_SECONDS = 30  # about what the sweep takes: the machine itself stalls now and then, and that is no delay by us
LONGEST = 600  # seconds


def measure(asked: Asked) -> list[Line]:
    url = asked.cluster.create("sweeping")
    asyncio.run(migrate(url))
    contenders.seed_mooring(url)
    with ExitStack() as running:
        swift = running.enter_context(_swift())
        bucket = Bucket("photos", "us-east-1", f"http://127.0.0.1:{swift}", "test:tester", "testing")
        door = running.enter_context(_door(swift))
        env = {
            "MOORING_STORAGE": f"s3://photos?endpoint={door.url}&region=us-east-1&style=path",
            "MOORING_S3_ACCESS_KEY_ID": bucket.access_key,
            "MOORING_S3_SECRET_ACCESS_KEY": bucket.secret_key,
            "MOORING_BATCH_INTERVAL_MS": "1000",
        }
        server = running.enter_context(contenders.mooring(url, door, **env))
        _issue(server)
        keys = [row[0] for row in query(url, "SELECT object_key FROM uploads ORDER BY id")]
        asyncio.run(_upload(bucket, keys[::EVERY]))
        person = httpx.Client(base_url=server.url, headers=_signed_in(), trust_env=False, timeout=60)
        usual = _delays(person, lambda began: time.monotonic() - began > QUIET_SECONDS)
        query(url, "UPDATE uploads SET look_at = now() - interval '1 second'")
        began = time.monotonic()
        while_swept = _delays(person, lambda began: _is_swept(url) or time.monotonic() - began > LONGEST)
        took = time.monotonic() - began
        counted = json.load(urllib.request.urlopen(f"{door.url}/counted"))
        arrived = query(url, "SELECT count(*) FROM uploads WHERE processing_status = 'UPLOADED'")[0][0]
    if arrived != PENDING // EVERY:
        raise SystemExit(f"{PENDING // EVERY} uploads were there, and the sweep found {arrived}.")
    heads, middle = counted["heads"], usual[len(usual) // 2]
    longest, quiet = while_swept[-1] * 1e3, usual[-1] * 1e3
    p99 = (while_swept[int(len(while_swept) * 0.99)] - middle) * 1e3
    title = f"{PENDING:,} pending uploads swept, 1 in {EVERY} there, on Swift"
    speed = f"{len(heads):,} uploads in {took:.0f} s"
    return [
        at_most(f"{title}: HEADs per upload, the most", max(heads), 1, "", speed),
        at_most("… at once", counted["most_at_once"], AT_ONCE, ""),
        at_most(
            "… by how much longer a person's requests take, the longest of each",
            max(0, longest - quiet),
            MOST_DELAY_MS,
            "ms",
            f"{longest:.1f} ms of {len(while_swept):,}, p99 {p99:.1f} over the usual; without the sweep {quiet:.1f} ms",
        ),
    ]


@contextmanager
def _swift() -> Iterator[int]:
    """The tests' own."""
    python = ROOT / ".venv-swift" / "bin" / "python"
    if not python.exists():
        subprocess.run(
            ["sh", ROOT / "tests/servers/make-swift.sh"], env={**os.environ, "PYTHON": sys.executable}, check=True
        )
    folder = WORK / "swift"
    subprocess.run(["rm", "-rf", folder], check=True)
    command = [python, "-P", "-W", "ignore", ROOT / "tests/servers/swift_process.py", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        os.sched_setaffinity(process.pid, OTHER_CORES)
        assert process.stdout
        yield int(process.stdout.readline())


def _door(upstream: int):  # type: ignore[no-untyped-def]
    port = free_port()
    command: list[str | Path] = [PYTHON, BENCH / "counting.py", str(port), str(upstream)]
    return serving("door", command, port=port, alive="/counted", cores=OTHER_CORES)


def _issue(server: Server) -> None:
    file = {"filename": "IMG_2041.jpg", "content_type": "image/jpeg", "file_size": len(BODY)}
    with httpx.Client(base_url=server.url, headers=_signed_in(), trust_env=False, timeout=60) as http:
        for _ in range(PENDING // BATCH):
            asked = {"album_id": 1, "files": [file] * BATCH}
            http.post("/photos/presigned-url/batch", json=asked).raise_for_status()


def _signed_in() -> dict[str, str]:
    return {"Authorization": f"Bearer {contenders.mooring_tokens()[0]}"}


async def _upload(bucket: Bucket, keys: list[str]) -> None:
    storage = S3Storage(bucket)
    await storage.setup(origins=[])
    gate = asyncio.Semaphore(8)

    async def put(key: str) -> None:
        async def body():  # type: ignore[no-untyped-def]
            yield BODY

        async with gate:
            await storage.write(key, body(), content_type="image/jpeg")

    await asyncio.gather(*(put(key) for key in keys))
    await storage.close()


def _is_swept(url: str) -> bool:
    """What was taken last may still be looked for when nothing is due any more."""
    due, here = query(
        url,
        """SELECT count(*) FILTER (WHERE processing_status = 'PENDING' AND look_at <= now()),
                  count(*) FILTER (WHERE processing_status = 'UPLOADED') FROM uploads""",
    )[0]
    return not due and int(here) == PENDING // EVERY


def _delays(person: httpx.Client, is_over) -> list[float]:  # type: ignore[no-untyped-def]
    """Seconds of each request of somebody who asks one thing after the other, sorted."""
    took, began, number = [], time.monotonic(), 0
    while number % 50 or not is_over(began):
        number += 1
        asked = time.perf_counter()
        person.get("/uploads/1").raise_for_status()
        took.append(time.perf_counter() - asked)
        time.sleep(0.005)
    return sorted(took)
