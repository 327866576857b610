"""Images from the disk store, by a real server: the bytes go past Python, and must be the same."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from servers.serving import Mooring, Person, Serving, put, until

SIZE = 20 * 2**20 + 7
BODY = os.urandom(SIZE)


@pytest.fixture
def serving(mooring: Mooring) -> Serving:
    return mooring.serve()


def shown(person: Person) -> str:
    issued = person.issue(BODY)
    assert put(issued, BODY).status_code == 200
    assert person.confirm(issued).status_code == 200
    return f"/photos/{issued['photo_id']}/image"


def request(person: Person, address: str, *more: str) -> bytes:
    lines = [f"GET {address} HTTP/1.1", "Host: x", f"Authorization: {person.http.headers['Authorization']}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def connected(serving: Serving) -> socket.socket:
    where = urlsplit(serving.url)
    return socket.create_connection((where.hostname or "", where.port or 0), timeout=20)


def open_files(serving: Serving) -> int:
    """Objects of the store that the process holds open, and sockets."""
    folder = Path(f"/proc/{serving.process.pid}/fd")
    targets = []
    for entry in folder.iterdir():
        try:
            targets.append(os.readlink(entry))
        except FileNotFoundError:
            continue  # closed meanwhile
    return sum("/objects/" in target for target in targets)


def test_whole_in_part_and_again_on_one_connection(serving: Serving) -> None:
    person = serving.sign_in()
    image = shown(person)
    for _ in range(2):
        whole = person.http.get(image)
        assert whole.status_code == 200
        assert whole.content == BODY
        part = person.http.get(image, headers={"Range": "bytes=1000000-9000000"})
        assert part.status_code == 206
        assert part.content == BODY[1_000_000:9_000_001]
        assert person.http.head(image).headers["content-length"] == str(SIZE)
    assert open_files(serving) == 0
    assert serving.end() == 0


def test_requests_sent_at_once_are_answered_one_after_the_other(serving: Serving) -> None:
    person = serving.sign_in()
    image = shown(person)
    with connected(serving) as wire:
        wire.sendall(
            request(person, image)
            + request(person, image, "Range: bytes=-9")
            + request(person, image, "Connection: close")
        )
        got = b"".join(iter(lambda: wire.recv(2**20), b""))
    for length in (SIZE, 9, SIZE):
        head, _, got = got.partition(b"\r\n\r\n")
        assert f"content-length: {length}\r\n".encode() in head + b"\r\n"
        assert got[:length] == BODY[SIZE - length :]
        got = got[length:]
    assert got == b""


def test_a_client_that_goes_leaves_nothing_open_and_nobody_waiting(serving: Serving) -> None:
    person = serving.sign_in()
    image = shown(person)
    wires = [connected(serving) for _ in range(6)]
    for wire in wires:
        wire.sendall(request(person, image))
        assert wire.recv(1000).startswith(b"HTTP/1.1 200")
    until(lambda: open_files(serving) == len(wires))  # none of them reads on: the server waits for room
    assert serving.get("/health").status_code == 200
    for number, wire in enumerate(wires):
        if number % 2:
            wire.shutdown(socket.SHUT_WR)
        else:
            wire.close()
    until(lambda: open_files(serving) == 0)
    assert person.http.get(image).content == BODY
    assert "unexpected_exception" not in {event["event"] for event in serving.events}
    for wire in wires:
        wire.close()


def test_a_stop_does_not_wait_for_a_client_that_does_not_read(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_STOP_SECONDS="1")
    person = serving.sign_in()
    image = shown(person)
    with connected(serving) as wire:
        wire.sendall(request(person, image))
        assert wire.recv(1000).startswith(b"HTTP/1.1 200")
        person.http.close()
        assert serving.end() == 0
