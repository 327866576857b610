"""The installed command `mooring`, as processes of their own, and people who use what it serves."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from mooring.db.embedded import Embedded
from servers import ours

BODY = b"\xff\xd8\xff and so on"
_OURS = ("MOORING_", "S3_", "AWS_", "BATCH_")
Answer = TypeVar("Answer")


def until(look: Callable[[], Answer | None], seconds: float = 20) -> Answer:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
    return found


@dataclass
class Serving:
    """A `mooring serve` that was started; not yet waited for."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    people: list["Person"] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it serves, as it says itself."""
        return until(self._said, 60)  # a machine may be busy

    def _said(self) -> str | None:
        found = re.search(r"serves at (http://\S+)", self.err.read_text())
        if found is None and self.process.poll() is not None:
            pytest.fail(f"mooring serve ended with {self.process.returncode}: {self.err.read_text()}")
        return found[1] if found else None

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=20)

    def sign_in(self, email: str = "owner@example.org") -> "Person":
        http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        self.people.append(Person(http))
        who = {"email": email, "password": "correct horse battery"}
        assert http.post("/auth/register", json=who).status_code in (201, 409)
        tokens = http.post("/auth/login", json=who).json()
        http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        self.people[-1].album_id = http.post("/albums", json={"title": "Summer"}).json()["id"]
        return self.people[-1]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return self.process.wait(30)


@dataclass
class Mooring:
    """The command, on one data folder."""

    data: Path
    env: dict[str, str] = field(default_factory=dict)
    served: list[Serving] = field(default_factory=list)

    def serve(self, *options: str, **env: str) -> Serving:
        return self.start("serve", *(options or ("--port", "0")), **env)

    def work(self, **env: str) -> Serving:
        return self.start("worker", **env)

    def start(self, *words: str, **env: str) -> Serving:
        number = len(self.served)
        out, err = (self.data.parent / f"{number}.{name}" for name in ("out", "err"))
        process = ours.start(self._command(words), out, err, stdin=subprocess.DEVNULL, env=self.environment(env))
        self.served.append(Serving(process, out, err))
        return self.served[-1]

    def run(self, *words: str, words_in: str = "", status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        done = ours.run(self._command(words), input=words_in, timeout=60, env=self.environment(env))
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def _command(self, words: Sequence[str]) -> list[str | Path]:
        return [ours.COMMAND, *words, "--data", self.data]

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        # What is PUT waits for its confirm and stays as it came, unless a test wants it told of or worked on.
        quiet = {"MOORING_WORKER": "off", "MOORING_TRIGGERS": "client,sweep"}
        return {**clean, "PYTHONWARNINGS": "error", **quiet, **self.env, **more}

    def database_pid(self) -> int:
        return int((self.data / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])


@pytest.fixture
def mooring(short_folder: Path) -> Iterator[Mooring]:
    mooring = Mooring(short_folder / "data")
    yield mooring
    for serving in mooring.served:
        if serving.process.poll() is None:
            serving.end(signal.SIGKILL)
        for person in serving.people:
            person.http.close()
    if mooring.data.exists():
        with Embedded(mooring.data):
            """The last user stops what a `kill -9` left."""


@dataclass
class Person:
    """Somebody signed in, with an album."""

    http: httpx.Client
    album_id: int = 0

    def issue(self, body: bytes = BODY, **claim: Any) -> dict[str, Any]:
        asked = {"album_id": self.album_id, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": len(body)}
        answer = self.http.post("/photos/presigned-url", json=asked | claim)
        assert answer.status_code == 200, answer.text
        issued: dict[str, Any] = answer.json()
        return issued

    def confirm(self, issued: dict[str, Any]) -> httpx.Response:
        return self.http.post("/photos/confirm", json={"photo_id": issued["photo_id"]})

    def state(self, issued: dict[str, Any]) -> str:
        return str(self.http.get(f"/uploads/{issued['photo_id']}").json()["state"])


def put(
    issued: dict[str, Any], body: bytes | Iterable[bytes] = BODY, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Straight to where the URL points, with the headers that came with it, and others only where a test says so."""
    sent = httpx.Headers({**issued["upload_headers"], **(headers or {})})
    return httpx.put(issued["upload_url"], content=body, headers=sent, trust_env=False, timeout=30)
