"""A bucket of Ceph tells `mooring serve` of what came: a client that dies after its PUT needs no call of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest

from e2e.test_s3 import at
from pictures import detailed, jpeg
from servers.programs import free_port
from servers.s3 import S3Server
from servers.serving import Mooring, Person, Serving, put, until

SECRET = "a secret of the tests/with more"
PICTURE = jpeg(detailed(640, 480))


@pytest.fixture
def storage(ceph: S3Server) -> S3Server:
    """Of the storages that are here only Ceph has events."""
    return ceph


@contextmanager
def over_https(endpoint: str) -> Iterator[str]:
    """As a balancer that ends TLS says it: Ceph takes an address with a secret in it only so."""

    class Balancer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {**self.headers, "X-Forwarded-Proto": "https"}
            with urlopen(Request(endpoint + self.path, body, headers)) as answer:
                said = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_GET(self) -> None:
            self._pass_on("GET")

        def do_HEAD(self) -> None:
            self._pass_on("HEAD")

        def do_PUT(self) -> None:
            self._pass_on("PUT")

        def _pass_on(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            request = Request(endpoint + self.path, body, dict(self.headers), method=method)
            try:
                with urlopen(request) as answer:
                    status, said = answer.status, answer.read()
            except OSError as refused:
                status, said = getattr(refused, "code", 500), getattr(refused, "read", lambda: b"")()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said if method != "HEAD" else b"")

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Balancer)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def prepared(mooring: Mooring, storage: S3Server, target: str, bucket: dict[str, str] | None = None) -> str:
    """The bucket's events go there from now on."""
    mooring.env |= (bucket or at(storage)) | {
        "MOORING_EVENTS_SECRET": SECRET,
        "MOORING_TRIGGERS": "event",
        "MOORING_WORKER": "on",
    }
    direct = mooring.env["MOORING_STORAGE"]
    with over_https(storage.endpoint) as endpoint:
        address = direct.replace(storage.endpoint, endpoint)
        return mooring.run("storage", "setup", MOORING_STORAGE=address, MOORING_EVENTS_TARGET=target).stdout


def story(person: Person, issued: dict[str, Any]) -> list[tuple[str, str]]:
    events = person.http.get(f"/uploads/{issued['photo_id']}/history").json()["events"]
    return [(event["what"], event["trigger"]) for event in events]


def told(serving: Serving, result: str) -> float:
    wanted = f'photo_api_storage_events_total{{result="{result}"}} '
    lines = [line for line in serving.get("/metrics").text.splitlines() if line.startswith(wanted)]
    return sum(float(line.split()[1]) for line in lines)


def test_a_client_that_dies_after_its_put_ends_completed(storage: S3Server, mooring: Mooring) -> None:
    port = free_port()
    said = prepared(mooring, storage, f"http://127.0.0.1:{port}/events/storage")
    assert f"events: What is uploaded is told to http://127.0.0.1:{port}/events/storage." in said
    assert "secret" not in said
    serving = mooring.serve("--port", str(port))
    person = serving.sign_in()
    dying = [person.issue(PICTURE, filename=name) for name in ("한글 이름+1%.jpg", "a b.jpg", "c.jpg")]
    for issued in dying:
        assert put(issued, PICTURE).status_code == 200
    for issued in dying:
        until(lambda issued=issued: person.state(issued) == "COMPLETED", 60)  # type: ignore[misc]
        assert story(person, issued)[:2] == [("issued", "client"), ("arrived", "event")]
    assert told(serving, "arrived") == 3
    metrics = serving.get("/metrics").text
    assert 'photo_api_upload_arrivals_total{trigger="event"} 3.0' in metrics
    assert serving.end() == 0


def test_what_nobody_could_take_is_told_again(storage: S3Server, mooring: Mooring) -> None:
    """The server was down when the file came."""
    port = free_port()
    prepared(mooring, storage, f"http://127.0.0.1:{port}/events/storage")
    serving = mooring.serve("--port", str(port))
    person = serving.sign_in()
    issued = person.issue(PICTURE)
    assert serving.end() == 0
    assert put(issued, PICTURE).status_code == 200
    person.http.base_url = (again := mooring.serve("--port", str(port))).url
    until(lambda: person.state(issued) == "COMPLETED", 90)
    assert story(person, issued)[1] == ("arrived", "event")
    assert again.end() == 0


def test_setting_up_again_changes_nothing_and_a_strange_target_is_a_sentence(
    storage: S3Server, mooring: Mooring
) -> None:
    target = f"http://127.0.0.1:{free_port()}/events/storage"
    first = prepared(mooring, storage, target).splitlines()
    again = prepared(mooring, storage, target, mooring.env).splitlines()
    assert first[1:] == again[1:]
    for strange, why in (("lunch", "reads eventbridge"), ("arn:aws:s3:::bucket", "is 'arn:aws:s3:::bucket', no ARN")):
        said = mooring.run("storage", "setup", MOORING_EVENTS_TARGET=strange).stdout
        assert f"not done  events: MOORING_EVENTS_TARGET {why}" in said


def test_a_storage_without_events_says_so(swift: S3Server, mooring: Mooring) -> None:
    mooring.env |= at(swift)
    said = mooring.run("storage", "setup", MOORING_EVENTS_TARGET="arn:aws:sqs:us-east-1:1:events").stdout
    assert "not done  events: The storage takes no event notifications (" in said
    found = json.loads(mooring.run("reconcile", "--dry-run", "--json").stdout)
    assert found["orphans"] == []
