"""`/metrics` and `/health` of a process that serves nothing else. Needs no web framework."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from mooring.errors import SetupProblem

LONGEST_HEAD = 8192
HEAD_SECONDS = 5.0
PLAIN = "text/plain; version=0.0.4; charset=utf-8"

Status = Callable[[], Awaitable[str]]


@asynccontextmanager
async def doorway(host: str, port: int, text: Callable[[], bytes], status: Status) -> AsyncIterator[str]:
    """Open for as long as the block runs. Gives the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _answer_to(head, text, status))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it went, or is no client of ours
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=LONGEST_HEAD)
    except OSError as error:
        raise SetupProblem(f"Can't show metrics on {host}:{port}: {error.strerror}. Choose another port.") from error
    async with server:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.sockets[0].getsockname()[1]}/metrics"


def doorway_if(
    port: int | None, host: str, text: Callable[[], bytes], status: Status
) -> AbstractAsyncContextManager[str | None]:
    """Where somebody asked for it. It shows what this process counts alone: each is scraped."""
    return nullcontext() if port is None else doorway(host, port, text, status)


async def _answer_to(head: bytes, text: Callable[[], bytes], status: Status) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return _whole(405, "Method Not Allowed", b"")
    if path == b"/metrics":
        return _whole(200, "OK", text(), has_body=method == b"GET")
    if path != b"/health":
        return _whole(404, "Not Found", b"")
    said = await status()
    code, reason = (200, "OK") if said == "ok" else (503, "Service Unavailable")
    return _whole(code, reason, said.encode(), has_body=method == b"GET")


def _whole(code: int, reason: str, body: bytes, *, has_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {code} {reason}\r\nContent-Type: {PLAIN}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
