"""A fire drill: real Prometheus and Alertmanager by the shipped files, sixty times as fast. Somebody guesses share
tokens, somebody floods a route, storage dies, the server dies: the right alerts reach a webhook, and go again."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from mooring.observe.monitoring.export import watching_files, write
from mooring.observe.monitoring.pace import Pace
from mooring.observe.monitoring.places import Places
from servers.nginx import free_port
from servers.prometheus import alertmanager_in, prometheus_in
from servers.receiver import Receiver
from servers.s3 import S3Server
from servers.serving import Mooring, Person, Serving, put
from servers.swift import swift_in

pytestmark = pytest.mark.timeout(300)  # real waiting, on a machine that may be busy
SPEED = 60
PATIENCE = 60


@dataclass
class Bell:
    """Who is told: what was ever said, and by the alert's name the newest of it."""

    receiver: Receiver

    @property
    def said(self) -> list[dict[str, Any]]:
        return [alert for one in self.receiver.received for alert in json.loads(one.body)["alerts"]]

    @property
    def state(self) -> dict[str, str]:
        return {alert["labels"]["alertname"]: alert["status"] for alert in self.said}

    def rings(self, *names: str) -> None:
        self._says("firing", names)

    def is_quiet(self, *names: str) -> None:
        self._says("resolved", names)

    def _says(self, state: str, names: tuple[str, ...]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not all(self.state.get(name) == state for name in names):
            assert time.monotonic() < deadline, f"{names} are not {state}: {self.state}"
            time.sleep(0.1)


@dataclass
class Drill:
    bell: Bell
    serving: Serving
    mooring: Mooring
    port: int
    storage: ExitStack

    def serve(self) -> Serving:
        self.serving = self.mooring.serve("--port", str(self.port))
        assert self.serving.url
        return self.serving


@pytest.fixture
def drill(mooring: Mooring, receiver: Receiver, tmp_path: Path) -> Iterator[Drill]:
    port, bells = free_port(), free_port()
    with ExitStack() as running, ExitStack() as storage:
        places = Places(
            targets=[f"127.0.0.1:{port}"], machines=[], alertmanagers=[f"127.0.0.1:{bells}"], webhook_url=receiver.url()
        )
        write(tmp_path, watching_files(places, Pace(SPEED)))
        swift = storage.enter_context(swift_in(tmp_path))
        mooring.env |= settings_for(swift)
        mooring.run("storage", "setup")
        running.enter_context(alertmanager_in(tmp_path, bells))
        running.enter_context(prometheus_in(tmp_path))
        drill = Drill(Bell(receiver), mooring.serve("--port", str(port)), mooring, port, storage)
        assert drill.serving.url
        yield drill


def settings_for(server: S3Server) -> dict[str, str]:
    bucket = server.new_bucket()
    return {
        "MOORING_STORAGE": f"s3://{bucket.name}?endpoint={bucket.endpoint}",
        "AWS_ACCESS_KEY_ID": bucket.access_key,
        "AWS_SECRET_ACCESS_KEY": bucket.secret_key,
        "MOORING_RATE_LIMIT_WRITE": "5/second",
    }


@contextmanager
def meanwhile(act: Callable[[], object], *, pause: float = 0.02) -> Iterator[None]:
    """Again and again, until the end of the block."""
    ended = Event()

    def again() -> None:
        while not ended.is_set():
            act()
            ended.wait(pause)

    thread = Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_alerts_reach_those_who_are_told_and_go_again(drill: Drill) -> None:
    person = drill.serving.sign_in()
    url, bell = drill.serving.url, drill.bell
    issued = person.issue()
    assert put(issued).status_code == 200
    with (
        httpx.Client(base_url=url, trust_env=False, timeout=30) as stranger,
        meanwhile(lambda: usual(person), pause=0.2),
    ):
        with meanwhile(lambda: stranger.get(f"/share/{time.monotonic_ns():043d}")):
            bell.rings("BruteForceAttack", "ClientGuessesCritical", "InvalidShareTokensCritical")
        with meanwhile(lambda: [stranger.post("/albums", json={"title": "flood"}) for _ in range(5)]):
            bell.rings("PossibleDDoSAttack", "BlockedShareCritical")
        bell.is_quiet("BruteForceAttack", "PossibleDDoSAttack", "BlockedShareCritical")
        drill.storage.close()
        with ExitStack() as asking:
            for _ in range(4):  # each waits for the storage a while before it fails
                asking.enter_context(meanwhile(lambda: person.confirm(issued)))
            bell.rings("HighErrorRate", "ExternalServiceDown", "ExternalServiceFailure")
    drill.serving.end()
    bell.rings("ServiceDown")
    drill.serve()
    bell.is_quiet("ServiceDown", "HighErrorRate", "ExternalServiceDown")
    for alert in bell.said:
        assert {"summary", "description", "runbook_url", "guide"} <= set(alert["annotations"])
    assert "ServiceNotReady" not in bell.state or bell.state["ServiceNotReady"] == "resolved"


def usual(person: Person) -> None:
    """What goes on all the time."""
    person.http.get("/albums")
    person.http.get("/photos")
