"""Server, worker and database killed with -9 at random moments, while three hundred uploads of all kinds are under way.

When all is quiet again each of them is where it belongs: none lost, none done twice, nothing left lying about."""

import asyncio
import json
import os
import random
import secrets
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import asyncpg
import httpx
import pytest

from films import film, free_space
from pictures import jpeg, quarters
from servers.programs import free_port
from servers.serving import Mooring, Serving, until
from sounds import sound

SEED = int(os.environ.get("DRILL_SEED") or secrets.randbelow(10**6))
PHOTOS, RECORDINGS, VIDEOS, LARGE_VIDEOS = 250, 35, 9, 6
UPLOADS = PHOTOS + RECORDINGS + VIDEOS + LARGE_VIDEOS
PART = 5 * 2**20
VANISH = 0.1  # of the clients, after their PUT
AT_ONCE = 8
BLOWS = 15
FEWEST_BLOWS = 6
VICTIMS = {"server", "worker", "database"}  # each at least once, then by chance
PAUSE = 2.5  # at most, between two uploads of a client: else all is done before anything could die
PATIENCE = 180
ENV = {
    "MOORING_WORKER": "on",
    "MOORING_TRIGGERS": "client,event,sweep",
    "MOORING_UPLOAD_URL_SECONDS": "60",
    "MOORING_BATCH_INTERVAL_MS": "1000",
    "MOORING_JOB_ATTEMPTS": "20",
    "MOORING_JOB_PAUSE_SECONDS": "1",
    "MOORING_IMMEDIATE_PROCESSING_MS": "1",
    "MOORING_MULTIPART_ABOVE_BYTES": str(PART),
    "MOORING_MULTIPART_PART_BYTES": str(PART),
}


@dataclass
class House:
    """A server, a worker and a database, each of which may be killed at any time."""

    mooring: Mooring
    port: int = field(default_factory=free_port)
    blows: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server, self.worker = self.serve(), self.mooring.work()

    def serve(self) -> Serving:
        return self.mooring.serve("--port", str(self.port))

    def strike(self, what: str) -> None:
        self.blows.append(what)
        if what == "database":
            try:
                os.kill(self.mooring.database_pid(), signal.SIGKILL)
            except (OSError, IndexError, ValueError):
                self.blows.pop()  # it is down from the last time
        elif what == "server":
            self.server.end(signal.SIGKILL)
            self.server = self.serve()
        else:
            self.worker.end(signal.SIGKILL)
            self.worker = self.mooring.work()


class Client:
    """It asks again for as long as nobody answers, and with the same key, as a good client does."""

    def __init__(self, url: str, token: str, album_id: int) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=15, headers={"Authorization": token})
        self.album_id = album_id

    def ask(self, method: str, url: str, good: tuple[int, ...] = (200, 201), **how: Any) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self.http.request(method, url, **how)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in good:
                return answer
            said = answer.text if answer is not None else "no answer"
            assert answer is None or answer.status_code >= 500, f"{method} {url}: {said}"
            assert time.monotonic() < deadline, f"{method} {url}: {said}"
            time.sleep(0.1)

    def put(self, upload_id: int, url: str, headers: dict[str, str], body: bytes) -> None:
        """412: it was there already, and only the answer was lost. 403: the URL lapsed while the server was away."""
        while self.ask("PUT", url, (200, 412, 403), content=body, headers=headers).status_code == 403:
            renewed = self.ask("POST", f"/uploads/{upload_id}/renew", (200, 409)).json()
            if "upload_url" not in renewed:
                return  # it arrived meanwhile
            url, headers = renewed["upload_url"], renewed["upload_headers"]

    def photo(self, body: bytes, key: str, vanishes: bool) -> int:
        asked = {"album_id": self.album_id, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": len(body)}
        issued = self.ask("POST", "/photos/presigned-url", json=asked, headers={"Idempotency-Key": key}).json()
        self.put(issued["photo_id"], issued["upload_url"], issued["upload_headers"], body)
        if not vanishes:
            self.ask("POST", "/photos/confirm", json={"photo_id": issued["photo_id"]})
        return int(issued["photo_id"])

    def recording(self, body: bytes, key: str, vanishes: bool) -> int:
        """It does not vanish: a recording is not worked on before its record is there."""
        asked = {"originalFilename": "a.mp3", "fileSize": len(body), "contentType": "audio/mpeg"}
        headers = {"Idempotency-Key": key}
        issued = self.ask("POST", "/records/async/presigned-url", json=asked, headers=headers).json()
        self.put(issued["uploadId"], issued["presignedUrl"], issued["uploadHeaders"], body)
        record = {"title": "Mine", "uploadId": issued["uploadId"]}
        self.ask("POST", "/records/async", json=record, headers={"Idempotency-Key": f"{key}-record"})
        return int(issued["uploadId"])

    def video(self, body: bytes, key: str, vanishes: bool) -> int:
        asked = {"filename": "a.mp4", "contentType": "video/mp4", "fileSize": len(body)}
        issued = self.ask("POST", "/api/videos/presigned-url", json=asked, headers={"Idempotency-Key": key}).json()
        self.put(issued["videoId"], issued["uploadUrl"], issued["uploadHeaders"], body)
        if not vanishes:
            self.ask("POST", f"/api/videos/{issued['videoId']}/complete")
        return int(issued["videoId"])

    def large_video(self, body: bytes, key: str, vanishes: bool) -> int:
        """In parts: it asks which of them are missing until none is."""
        asked = {"filename": "a.mp4", "contentType": "video/mp4", "fileSize": len(body)}
        issued = self.ask("POST", "/api/videos/presigned-url", json=asked, headers={"Idempotency-Key": key}).json()
        video = f"/api/videos/{issued['videoId']}"
        while missing := self.ask("POST", f"{video}/parts", (200, 409)).json().get("parts"):
            for part in missing:
                piece = body[(part["number"] - 1) * PART :][:PART]
                self.ask("PUT", part["url"], (200, 403), content=piece, headers=part.get("headers", {}))
        if not vanishes:
            self.ask("POST", f"{video}/complete")
        return int(issued["videoId"])


def after_a_while(
    pause: float, upload: Callable[[bytes, str, bool], int], body: bytes, key: str, vanishes: bool
) -> int:
    time.sleep(pause)
    return upload(body, key, vanishes)


def strikes(house: House, dice: random.Random, over: Event) -> None:
    """At random moments of its work, and of its waking up, but not so often that there is no work left."""
    while len(house.blows) < BLOWS and not over.wait(dice.uniform(0.5, 4)):
        spared = sorted(VICTIMS - set(house.blows))
        house.strike(dice.choice(spared or ["server", "worker", "worker", "database"]))
        over.wait(dice.choice([0.0, 5.0]))


def query(url: str, sql: str) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.mark.timeout(900)
def test_whatever_dies_every_upload_ends_once_and_nothing_is_left(
    mooring: Mooring, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nDRILL_SEED={SEED}", end=" ", flush=True)
    dice = random.Random(SEED)
    mooring.env |= ENV
    house = House(mooring)
    until(lambda: "serves at" in house.server.err.read_text(), 90)
    owner = house.server.sign_in()
    token, url = owner.http.headers["Authorization"], str(owner.http.base_url)
    client = Client(url, token, owner.album_id)
    jobs: list[tuple[Callable[[bytes, str, bool], int], bytes]] = [
        *[(client.photo, jpeg(quarters()))] * PHOTOS,
        *[(client.recording, sound("audio/mpeg", 1))] * RECORDINGS,
        *[(client.video, film(seconds=1))] * VIDEOS,
        *[(client.large_video, film(seconds=1) + free_space(PART + 1))] * LARGE_VIDEOS,
    ]
    dice.shuffle(jobs)
    over = Event()
    striking = Thread(target=strikes, args=(house, random.Random(SEED + 1), over))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        striking.start()
        try:
            asked = [
                pool.submit(
                    after_a_while, dice.uniform(0, PAUSE), upload, body, f"drill-{number}", dice.random() < VANISH
                )
                for number, (upload, body) in enumerate(jobs)
            ]
            ids = [one.result() for one in asked]
        finally:
            over.set()
            striking.join()
            client.http.close()
    assert len(set(ids)) == UPLOADS
    assert len(house.blows) >= FEWEST_BLOWS, "else nothing was tried"
    assert set(house.blows) == VICTIMS

    until(lambda: httpx.get(f"{url}/health", trust_env=False, timeout=20).status_code == 200, 60)
    database = mooring.run("db", "url").stdout.strip()
    until(lambda: not states_under_way(database), 400)
    assert dict(query(database, "SELECT processing_status, count(*) FROM uploads GROUP BY 1")) == {"COMPLETED": UPLOADS}
    doubled = query(
        database, "SELECT upload_id, what FROM upload_events GROUP BY 1, 2 HAVING count(*) > 1 AND what <> 'renewed'"
    )
    assert [tuple(one) for one in doubled if one["what"] in ("issued", "arrived", "completed")] == []
    told = dict(query(database, "SELECT what, count(*) FROM upload_events GROUP BY 1"))
    assert (told["issued"], told["arrived"], told["completed"]) == (UPLOADS, UPLOADS, UPLOADS)
    [quota] = query(database, "SELECT reserved_bytes, in_flight, used_bytes FROM quotas WHERE user_id = 1")
    assert tuple(quota) == (0, 0, sum(len(body) for _, body in jobs))
    found = json.loads(mooring.run("reconcile", "--dry-run", "--grace", "0s", "--json").stdout)
    assert (found["orphans"], found["missing"], found["multiparts"]) == ([], [], [])
    assert found["checked_uploads"] == UPLOADS
    assert house.server.end() == 0
    with capsys.disabled():
        print(f"({len(house.blows)} killed)", end=" ", flush=True)


def states_under_way(database: str) -> int:
    [[under_way]] = query(
        database, "SELECT count(*) FROM uploads WHERE processing_status IN ('PENDING', 'UPLOADED', 'PROCESSING')"
    )
    return int(under_way)
