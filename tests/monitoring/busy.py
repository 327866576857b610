"""A server that is used by honest people, by attackers, and by a database that dies: something for every panel."""

import fcntl
import io
import os
import signal
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mooring.observe.monitoring.asking import Prometheus
from mooring.observe.monitoring.export import watching_files, write
from mooring.observe.monitoring.pace import Pace
from mooring.observe.monitoring.places import Places
from pictures import jpeg
from servers.nginx import free_port
from servers.prometheus import node_exporter_in, prometheus_in
from servers.serving import Mooring, Person, Serving, put, until

EVENTS_SECRET = "what storage says to be believed"
SETTINGS = {
    "MOORING_WORKER": "on",
    "MOORING_EVENTS_SECRET": EVENTS_SECRET,
    "MOORING_TRIGGERS": "client,event,sweep",
    "MOORING_RATE_LIMIT_WRITE": "20/second",
    "BATCH_INTERVAL_MS": "1000",
    # Nobody is there: lines wait, and calls fail.
    "MOORING_LOG_SERVICE_URL": "http://127.0.0.1:1/v2/log",
    "MOORING_LOG_SERVICE_APP_KEY": "of-the-tests",
    "MOORING_LOG_SERVICE_STOP_SECONDS": "0",
    "MOORING_WEBHOOK_NETWORKS": "127.0.0.0/8",
}


@dataclass
class Watched:
    """A Prometheus that scrapes a `mooring serve` and the machine every second, and who makes traffic there."""

    prometheus: str
    serving: Serving
    mooring: Mooring
    instance: str
    people: list[Person] = field(default_factory=list)

    def wait_for_scrapes(self, count: int = 2) -> None:
        """Two, so that whatever is counted by now has a rate."""
        with Prometheus(self.prometheus) as asked:
            before = scrapes(asked)
            until(lambda: scrapes(asked) >= before + count)


def scrapes(asked: Prometheus) -> float:
    return sum(one.last for one in asked.now('count_over_time(up{job="mooring"}[1h])'))


@contextmanager
def watched(mooring: Mooring, folder: Path, **env: str) -> Iterator[Watched]:
    port, machine = free_port(), free_port()
    places = Places(targets=[f"127.0.0.1:{port}"], machines=[f"127.0.0.1:{machine}"], alertmanagers=[])
    write(folder, watching_files(places, Pace(15)))
    with node_exporter_in(folder, machine), prometheus_in(folder) as prometheus:
        serving = mooring.serve("--port", str(port), **SETTINGS, **env)
        assert serving.url
        yield Watched(prometheus, serving, mooring, places.targets[0])


def use(house: Watched, hook: str, rounds: int = 3) -> None:
    """Round by round, with scrapes in between: a counter that is only born has no rate yet."""
    person = house.serving.sign_in()
    stranger = house.serving.sign_in("stranger@example.org")
    house.people += [person, stranger]
    hooked = person.http.post("/webhooks", json={"url": hook})
    assert hooked.status_code == 201, hooked.text
    for number in range(rounds):
        register(house, number)
        photos(house, person, stranger, 2 + number % 5)
        photos(house, stranger, person, 1)
        shares(house, person, stranger)
        events(house, person)
        recordings(person)
        attack(house)
        if number % 2 == 0:
            kill_the_database(house, person)
        house.wait_for_scrapes()


def register(house: Watched, number: int) -> None:
    for which in range(2):
        who = {"email": f"{number}-{which}@example.org", "password": "correct horse battery"}
        house.people[0].http.post("/auth/register", json=who)
        house.people[0].http.post("/auth/login", json=who)
        house.people[0].http.post("/auth/login", json={**who, "password": "not the password"})
    house.people[0].http.get("/albums")
    house.people[0].http.get("/photos")


def photos(house: Watched, person: Person, stranger: Person, count: int) -> None:
    body = jpeg()
    for _ in range(count):
        issued = person.issue(body)
        put(issued, body)
        person.confirm(issued)
        person.http.get(f"/photos/{issued['photo_id']}/image")
        stranger.http.get(f"/photos/{issued['photo_id']}/image")
    person.confirm(person.issue(body))  # which never came


def shares(house: Watched, person: Person, stranger: Person) -> None:
    body = jpeg()
    issued = person.issue(body)
    put(issued, body)
    person.confirm(issued)
    made = person.http.post(f"/albums/{person.album_id}/share-links", json={}).json()
    gone = person.http.post(f"/albums/{person.album_id}/share-links", json={}).json()
    person.http.delete(f"/share-links/{gone['id']}")
    foreign = stranger.issue(body)
    with httpx.Client(base_url=house.serving.url, trust_env=False, timeout=30) as guest:
        for token, photo_id in ((made, issued), (made, foreign), (gone, issued)):
            path = f"/share/{token['token']}"
            guest.get(path)
            guest.get(f"{path}/photos/{photo_id['photo_id']}/image")


def events(house: Watched, person: Person) -> None:
    """The disk tells by itself; here somebody tells of what nobody knows."""
    told: dict[str, Any] = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "photos"}, "object": {"key": "photos/none"}},
    }
    bearer = {"Authorization": f"Bearer {EVENTS_SECRET}"}
    heard = person.http.post("/events/storage", json={"Records": [told]}, headers=bearer)
    assert heard.status_code == 200, heard.text
    issued = person.issue(body := jpeg())
    put(issued, body)


def recordings(person: Person) -> None:
    body = sound()
    claim = {"originalFilename": "a.wav", "fileSize": len(body), "contentType": "audio/wav", "durationSeconds": 1}
    issued = person.http.post("/records/async/presigned-url", data=claim).json()
    headers = {"Content-Type": issued["uploadHeaders"]["Content-Type"]}
    httpx.put(issued["presignedUrl"], content=body, headers=headers, trust_env=False, timeout=30)
    made = person.http.post("/records/async", json={"title": "Mine", "uploadId": issued["uploadId"]})
    assert made.status_code == 200, made.text
    person.http.post("/records/async", json={"title": "Mine", "uploadId": 10**9})


def attack(house: Watched) -> None:
    with httpx.Client(base_url=house.serving.url, trust_env=False, timeout=30) as attacker:
        for number in range(40):
            attacker.get(f"/share/{number:043d}")
            attacker.post("/albums", json={"title": "flood"})


def kill_the_database(house: Watched, person: Person) -> None:
    """It comes again by itself; until then each request is a 500."""
    with (house.mooring.data / "postgres" / "gate").open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        os.kill(house.mooring.database_pid(), signal.SIGKILL)
        for _ in range(3):
            person.http.get("/albums")
    until(lambda: house.serving.get("/health").status_code == 200)


def sound(seconds: float = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(b"".join((n * 900 % 20000).to_bytes(2, "little") for n in range(int(8000 * seconds))))
    return file.getvalue()
