"""What a large file costs the server's memory: a film in parts, into the disk store, which carries the bytes itself."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from asked import Asked
from embedded import embedded, somebody
from ground import Server
from table import Line, at_most

FILM = int(os.environ.get("BENCH_FILM_BYTES", 2 * 2**30))
WARM = 8  # parts, until everything is loaded that is ever loaded
AT_ONCE = 4


def measure(_: Asked) -> list[Line]:
    quotas = {"MOORING_QUOTA_FREE_BYTES": str(4 * FILM)}
    with embedded("large_files", MOORING_WORKER="off", **quotas) as server:
        person = somebody(server)
        plan = _issued(person, FILM)
        urls, last = plan["parts"], plan["parts"][-1]["number"]
        part = bytes(plan["partSize"])
        rest = FILM - (last - 1) * len(part)
        _send(urls[:WARM], lambda _: part)
        before = server.rss_mb()
        with _watching(server) as seen:
            _send(urls[WARM:], lambda number: part[:rest] if number == last else part)
            person.post(f"/api/videos/{plan['videoId']}/complete", timeout=600).raise_for_status()
        after, most = server.rss_mb(), max(seen)
    return [
        at_most(
            f"memory of the server over a {FILM / 2**30:.3g} GiB film in parts, {AT_ONCE} at once: growth at most",
            (most - before) / before * 100,
            10,
            "%",
            f"{before:.0f} → {most:.0f} MB at most → {after:.0f} MB; {last} parts",
        )
    ]


def _issued(person: httpx.Client, size: int) -> dict[str, Any]:
    asked = {"filename": "film.mp4", "contentType": "video/mp4", "fileSize": size}
    issued: dict[str, Any] = person.post("/api/videos/presigned-url", json=asked).raise_for_status().json()
    return issued


def _send(urls: Iterable[dict[str, Any]], body_of: Callable[[int], bytes]) -> None:
    with httpx.Client(trust_env=False, timeout=120) as http, ThreadPoolExecutor(AT_ONCE) as many:
        for answer in many.map(lambda part: http.put(part["url"], content=body_of(part["number"])), urls):
            answer.raise_for_status()


@contextmanager
def _watching(server: Server) -> Iterator[list[float]]:
    seen, over = [server.rss_mb()], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            seen.append(server.rss_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
