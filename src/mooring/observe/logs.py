"""One JSON line per event: `event`, `at`, `level`, `request_id`, and what the caller names."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, BinaryIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict

from mooring.observe.redaction import Redaction

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure_logs(level: str, to: BinaryIO | None = None, secrets: Iterable[str] = ()) -> "Lines":
    """To standard output, unless told otherwise. `secrets` are never written, whatever happens."""
    lines = Lines(to or sys.stdout.buffer, Redaction(secrets))
    structlog.configure(
        processors=[_render],
        wrapper_class=_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    return lines


def configured_lines() -> "Lines | None":
    """Where this process' lines go, if somebody said so."""
    factory = structlog.get_config()["logger_factory"]
    lines = factory() if callable(factory) else None
    return lines if isinstance(lines, Lines) else None


class Lines:
    """What is logged in one turn of the event loop is written in one go; without a loop, at once."""

    def __init__(self, to: BinaryIO, redaction: Redaction) -> None:
        self._to = to
        self._redaction = redaction
        self._waiting: list[bytes] = []
        self._waits_for: asyncio.AbstractEventLoop | None = None
        self.also: Callable[[Sequence[bytes]], None] | None = None  # gets what was written

    def hide(self, secret: str) -> None:
        """One that was not known before."""
        self._redaction.add(secret)

    def msg(self, line: bytes) -> None:
        self._waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._waits_for:
            self._waits_for = loop
            loop.call_soon(self.flush)

    debug = info = warning = error = critical = exception = msg

    def flush(self) -> None:
        waiting, self._waiting, self._waits_for = self._waiting, [], None
        written = b"".join(waiting)
        if self._redaction.suspects(written):
            waiting = [self._redaction.clean(line) for line in waiting]
            written = b"".join(waiting)
        self._to.write(written)
        self._to.flush()
        if self.also is not None and waiting:
            self.also(waiting)


def _logger(level: int) -> type[Any]:
    """structlog's, with a shorter way: what is logged has no context but its own words, and comes out as one line."""

    class Logger(structlog.make_filtering_bound_logger(level)):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **about: Any) -> None:
            about["event"] = event
            try:
                for process in self._processors:
                    about = process(self._logger, method_name, about)
            except structlog.DropEvent:
                return
            self._logger.msg(about)

    return Logger


def _render(_: Any, level: str, event: EventDict) -> bytes:
    asked = request_id.get()
    if asked is not None:
        event["request_id"] = asked
    event["level"] = level
    event["at"] = datetime.now(UTC).isoformat()
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(None, level, event)
    return to_json(event, serialize_unknown=True) + b"\n"
