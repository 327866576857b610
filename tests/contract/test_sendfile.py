"""The extension `mooring.sendfile` of the server that serves."""

import asyncio
import os
import socket
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

from mooring.sendfile import SendfileProtocol, sendfile_of

BEFORE = os.urandom(8 * 2**20)
FILE = os.urandom(2**20)


async def test_a_file_never_overtakes_what_was_written_before_it(tmp_path: Path) -> None:
    """Far more than a socket takes at once is written first, to a client that reads whenever it can."""
    file = tmp_path / "file"
    file.write_bytes(FILE)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sendfile = sendfile_of(scope)
        assert sendfile is not None
        length = b"%d" % (len(BEFORE) + len(FILE))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": BEFORE, "more_body": True})
        with file.open("rb") as opened:
            await sendfile(opened.fileno(), 0, len(FILE))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    config = uvicorn.Config(app, http=SendfileProtocol, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        got = await asyncio.to_thread(asked, listening.getsockname())
        server.should_exit = True
        await serving
    assert got.partition(b"\r\n\r\n")[2] == BEFORE + FILE


def asked(where: tuple[str, int]) -> bytes:
    """Reads as fast as it can, and not in turns with the server."""
    with socket.create_connection(where) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: wire.recv(2**20), b""))
