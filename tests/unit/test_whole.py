"""What leaves in one write is, byte for byte, what uvicorn would have written in two."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mooring.sendfile import SendfileProtocol
from mooring.whole import WholeCycle, WholeProtocol

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
DATE = (b"date", b"Wed, 02 Jan 2030 03:04:05 GMT")


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def written_by(protocol: type[HttpToolsProtocol], messages: Sequence[Message], asked: bytes) -> Written:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)
    config.load()
    state = ServerState()
    state.default_headers = [DATE]
    serving = protocol(config, state, {})
    transport = Written()
    serving.connection_made(transport)
    serving.data_received(asked)
    while state.tasks:
        await asyncio.gather(*state.tasks)
    if serving.timeout_keep_alive_task is not None:
        serving.timeout_keep_alive_task.cancel()
    return transport


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


FIVE = (b"content-length", b"5")
WHOLE = [start(FIVE, (b"content-type", b"text/plain")), body(b"hello")]
OTHERS: dict[str, tuple[Sequence[Message], bytes]] = {
    "to HEAD": (WHOLE, GET.replace(b"GET", b"HEAD")),
    "in pieces": ([start(FIVE), body(b"he", more=True), body(b"llo")], GET),
    "of unknown length": ([start(), body(b"hello")], GET),
    "of another length": ([start((b"content-length", b"6")), body(b"hello")], GET),
    "without a body": ([start(status=204), body()], GET),
    "the last by its own word": ([start(FIVE, (b"connection", b"close")), body(b"hello")], GET),
    "the last by the client's": (WHOLE, GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")),
    "chunked by its own word": ([start((b"transfer-encoding", b"chunked")), body(b"hello")], GET),
    "never begun": ([], GET),
    "never ended": ([start(FIVE), body(b"he", more=True)], GET),
}
INSANE = [(b"x-a", b"b\r\nset-cookie: c"), (b"x-a", b"b\nc"), (b"x-a", b"b\rc"), (b"x-a", b"\0"), (b"x a\r\nb", b"c")]


async def test_a_whole_answer_is_one_write() -> None:
    ours, theirs = [await written_by(by, WHOLE, GET) for by in (WholeProtocol, HttpToolsProtocol)]
    assert ours.pieces == [b"".join(theirs.pieces)]
    assert len(theirs.pieces) == 2


async def test_connections_go_on_after_it() -> None:
    ours, theirs = [await written_by(by, WHOLE, GET + GET) for by in (WholeProtocol, HttpToolsProtocol)]
    assert ours.pieces == [b"".join(theirs.pieces[:2])] * 2


@pytest.mark.parametrize("how", OTHERS)
async def test_every_other_answer_is_uvicorns(how: str) -> None:
    ours, theirs = [await written_by(by, *OTHERS[how]) for by in (WholeProtocol, HttpToolsProtocol)]
    assert b"".join(ours.pieces) == b"".join(theirs.pieces)
    assert ours.is_closed == theirs.is_closed


@pytest.mark.parametrize("header", INSANE)
async def test_no_header_smuggles_another(header: tuple[bytes, bytes]) -> None:
    ours = await written_by(WholeProtocol, [start(FIVE, header), body(b"hello")], GET)
    assert ours.pieces == []
    assert ours.is_closed


async def test_a_request_leaves_nothing_for_the_collector() -> None:
    def cycles() -> int:
        return sum(isinstance(one, WholeCycle) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = cycles()
        await written_by(SendfileProtocol, WHOLE, GET * 20)
        assert cycles() - before <= 1, "but for the last, which its connection holds"
    finally:
        gc.enable()
