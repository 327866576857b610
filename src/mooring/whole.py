"""An answer that is whole when it is sent leaves in one write.

uvicorn writes the head and the body one after the other: two system calls, and two wake-ups of whoever reads. Here the
head waits for the first piece of the body, and where that is all of it, both go at once. Every other answer (streamed,
of unknown length, to HEAD, the last of its connection) takes uvicorn's own way."""

import re
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NEEDS_CARE = frozenset({b"connection", b"transfer-encoding"})

Headers = Iterable[tuple[bytes, bytes]]


class WholeProtocol(HttpToolsProtocol):
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is self.scope:
            self.cycle.__class__ = WholeCycle  # its task has not begun yet


class WholeCycle(RequestResponseCycle):
    _head: Any = None  # http.response.start, until the first piece of the body comes

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None:
            if not message.get("more_body") and self._is_sent_at_once(head, message.get("body", b"")):
                return
            await super().send(head)
        await super().send(message)

    async def send_head(self) -> None:
        """For whoever sends the body past us."""
        if self._head is not None:
            head, self._head = self._head, None
            await super().send(head)

    def _is_sent_at_once(self, head: Any, body: bytes) -> bool:
        if self.disconnected or self.flow.write_paused or not self.keep_alive or self.scope["method"] == "HEAD":
            return False
        lines = _lines(head["headers"], len(body))
        if lines is None:
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        ours = _last.lines if _last.of is self.default_headers else _last.renew(self.default_headers)
        self.transport.write(b"".join((STATUS_LINE[head["status"]], ours, lines, b"\r\n", body)))
        self.message_event.set()
        self.on_response()
        return True


class _Last:
    """uvicorn's own headers, `date` above all, as they were last written: they are others once a second."""

    of: Headers = ()
    lines: bytes = b""

    def renew(self, headers: Headers) -> bytes:
        self.of, self.lines = headers, b"".join([b"%b: %b\r\n" % header for header in headers])
        return self.lines


_last = _Last()


def _lines(headers: Headers, length: int) -> bytes | None:
    """None where uvicorn must look at a header: at one that says how the connection goes on, or that is not sane."""
    pieces: list[bytes] = []
    has_length = False
    for name, value in headers:
        pieces += (name, b": ", value, b"\r\n")
        if name == b"content-length":
            has_length = int(value) == length
        elif name in _NEEDS_CARE:
            return None
    lines = b"".join(pieces)
    count = len(pieces) // 4
    is_sane = lines.count(b"\n") == count == lines.count(b"\r") and not _CONTROLS.search(lines)
    return lines if has_length and is_sane else None
