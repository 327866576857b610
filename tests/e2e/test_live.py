"""Live status as clients have it: real servers, real sockets, a real browser."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import BrowserContext
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from house.reading import ROOT
from pictures import detailed, jpeg
from servers.serving import Mooring, Person, Serving, put, until

PICTURE = jpeg(detailed(640, 480))


@dataclass
class Listener:
    """Somebody who reads a stream of server-sent events."""

    answer: httpx.Response
    lines: Iterator[str]
    last_id: str = ""

    def next(self) -> dict[str, Any]:
        """The next event's data; beside it, what EventSource would remember."""
        event: dict[str, Any] = {}
        for line in self.lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "data":
                event |= json.loads(value)
            elif not line and event:
                return event
        pytest.fail("the stream ended")


@contextmanager
def listening(serving: Serving, headers: dict[str, str], query: str = "") -> Iterator[Listener]:
    with (
        httpx.Client(trust_env=False, timeout=30) as http,
        http.stream("GET", f"{serving.url}/uploads/stream{query}", headers=headers) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "retry: 2000"
        listener = Listener(answer, lines, next(lines).removeprefix("id: "))
        assert next(lines) == ""
        yield listener


def bearer(person: Person) -> dict[str, str]:
    return {"Authorization": person.http.headers["Authorization"]}


def uploaded(person: Person, body: bytes = PICTURE) -> int:
    issued = person.issue(body)
    assert put(issued, body).status_code == 200
    assert person.confirm(issued).status_code == 200
    return int(issued["photo_id"])


def ws(serving: Serving, query: str = "") -> str:
    return serving.url.replace("http", "ws", 1) + "/ws/uploads" + query


def test_an_owner_hears_at_another_instance_and_after_a_break_of_what_was_missed(mooring: Mooring) -> None:
    first, second = mooring.serve(), mooring.serve()
    person, stranger = first.sign_in(), first.sign_in("stranger@example.org")
    with listening(second, bearer(person)) as mine, listening(second, bearer(stranger)) as others:
        assert mine.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (mine.answer.headers["cache-control"], mine.answer.headers["x-accel-buffering"]) == ("no-store", "no")
        photo = uploaded(person)
        confirmed = time.monotonic()
        event = mine.next()
        assert time.monotonic() - confirmed < 1
        assert (event["upload_id"], event["what"], event["state"]) == (photo, "arrived", "UPLOADED")
        assert (event["kind"], event["filename"], event["cursor"]) == ("photo", "a.jpg", mine.last_id)
        assert mine.last_id.startswith(f"{event['id']}-")
        assert "photo_api_live_streams 2.0" in second.get("/metrics").text
        theirs = uploaded(stranger)
        assert others.next()["upload_id"] == theirs
    until(lambda: "photo_api_live_streams 0.0" in second.get("/metrics").text)
    missed = uploaded(person)
    with listening(first, bearer(person) | {"Last-Event-ID": mine.last_id}) as again:
        assert again.next()["upload_id"] == missed
    with listening(second, bearer(person), "?last_event_id=0") as all_of_it:
        assert [all_of_it.next()["upload_id"] for _ in range(2)] == [photo, missed]


def test_a_websocket_tells_the_same_of_a_worker_in_another_process(mooring: Mooring) -> None:
    serving = mooring.serve()
    person = serving.sign_in()
    mooring.work()
    with connect(ws(serving), additional_headers=bearer(person), proxy=None) as socket:
        photo = uploaded(person)
        events = [json.loads(socket.recv(30)) for _ in range(3)]
    assert [(one["upload_id"], one["state"]) for one in events] == [
        (photo, "UPLOADED"),
        (photo, "PROCESSING"),
        (photo, "COMPLETED"),
    ]
    ticket = person.http.post("/uploads/stream/ticket").json()["ticket"]
    query = f"?ticket={ticket}&last_event_id={events[1]['cursor']}"
    with connect(ws(serving, query), proxy=None) as socket:
        again = json.loads(socket.recv(10))
        assert again | {"cursor": None} == events[2] | {"cursor": None}  # what else was committed since stands in it
        socket.send("Anybody there?")
        assert uploaded(person) == json.loads(socket.recv(10))["upload_id"]
    logged = serving.out.read_text() + serving.err.read_text()
    assert ticket not in logged
    assert person.http.headers["Authorization"].split()[1] not in logged


def refused(address: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as failure, connect(address, proxy=None, **options):
        pass
    answer = failure.value.response
    return answer.status_code, json.loads(answer.body or b"")["error"]["code"]


def test_a_websocket_is_refused_before_it_is_one(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_CORS_ORIGINS="https://app.example.org", MOORING_LIVE_STREAMS_PER_USER="1")
    person = serving.sign_in()
    mine: dict[str, Any] = {"additional_headers": bearer(person)}
    assert refused(ws(serving)) == (401, "NOT_SIGNED_IN")
    assert refused(ws(serving, "?ticket=1.2000000000.x")) == (401, "NOT_SIGNED_IN")
    assert refused(ws(serving), **mine, origin="https://evil.example.org") == (403, "ORIGIN_NOT_ALLOWED")
    assert refused(ws(serving), **mine, origin="null") == (403, "ORIGIN_NOT_ALLOWED")
    assert refused(ws(serving, "?last_event_id=x"), **mine) == (422, "VALIDATION_FAILED")
    assert refused(ws(serving, "?surprise=1"), **mine) == (422, "VALIDATION_FAILED")
    for origin in ("https://app.example.org", serving.url):
        with connect(ws(serving), proxy=None, **mine, origin=Origin(origin)):
            assert refused(ws(serving), **mine) == (429, "TOO_MANY_STREAMS")
        until(lambda: "photo_api_live_streams 0.0" in serving.get("/metrics").text)


def test_a_stop_says_good_bye_and_waits_for_nobody_who_does_not_read(mooring: Mooring) -> None:
    serving = mooring.serve()
    person = serving.sign_in()
    with (
        two_who_never_read(mooring, serving, person),
        listening(serving, bearer(person)) as mine,
        connect(ws(serving), additional_headers=bearer(person), proxy=None) as socket,
    ):
        started = time.monotonic()
        serving.process.terminate()
        assert mine.next() == {"why": "closing"}
        assert list(mine.lines) == []
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert serving.process.wait(20) == 0
    assert time.monotonic() - started < 10


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: bm90aGluZyBpcyBzZWNyZQ==\r\n"
)


@contextmanager
def two_who_never_read(mooring: Mooring, serving: Serving, person: Person) -> Iterator[None]:
    """What they would be told is more than all the buffers between us hold."""
    many = """INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
              SELECT 0, 1, 'renewed', 'client', now() FROM generate_series(1, 40000);"""
    mooring.run("db", "shell", words_in=many)
    parts = urlsplit(serving.url)
    ticket = person.http.post("/uploads/stream/ticket").json()["ticket"]
    with socket.socket() as first, socket.socket() as second:
        for deaf, path, more in ((first, "/uploads/stream", ""), (second, "/ws/uploads", UPGRADE)):
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            deaf.connect((parts.hostname, parts.port))
            asked = f"GET {path}?last_event_id=0&ticket={ticket} HTTP/1.1\r\nHost: x\r\n{more}\r\n"
            deaf.sendall(asked.encode())
        until(lambda: "photo_api_live_streams 2.0" in serving.get("/metrics").text)
        yield


def test_a_stream_ends_with_its_token(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_ACCESS_TOKEN_SECONDS="4")
    person = serving.sign_in()
    with (
        listening(serving, bearer(person)) as mine,
        connect(ws(serving), additional_headers=bearer(person), proxy=None) as socket,
    ):
        assert mine.next() == {"why": "expired"}
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "expired")


async def test_a_page_listens_as_the_guide_shows_it(mooring: Mooring, private_window: BrowserContext) -> None:
    """EventSource and WebSocket of a page of another origin, which can't send headers."""
    serving = mooring.serve()
    person = serving.sign_in()
    page = await private_window.new_page()
    await page.goto(f"{serving.url.replace('127.0.0.1', 'localhost')}/health/live")
    page_of_the_guide = (ROOT / "docs/how-to/live-status.md").read_text()
    listen = page_of_the_guide.split("```js\n")[1].split("\nlisten(")[0]
    await page.add_script_tag(content=listen)
    await page.evaluate(
        """async ([mooring, token]) => {
            window.heard = [];
            await listen(mooring, () => token, ({state}) => heard.push(['source', state]));
            const answer = await fetch(`${mooring}/uploads/stream/ticket`, {
                method: 'POST', headers: {Authorization: `Bearer ${token}`},
            });
            const {ticket} = await answer.json();
            const socket = new WebSocket(`${mooring.replace('http', 'ws')}/ws/uploads?ticket=${ticket}`);
            socket.onmessage = event => heard.push(['socket', JSON.parse(event.data).state]);
        }""",
        [serving.url, bearer(person)["Authorization"].split()[1]],
    )
    until(lambda: "photo_api_live_streams 2.0" in serving.get("/metrics").text)
    uploaded(person)
    await page.wait_for_function("window.heard.length == 2", timeout=10_000)
    assert sorted(await page.evaluate("window.heard")) == [["socket", "UPLOADED"], ["source", "UPLOADED"]]
