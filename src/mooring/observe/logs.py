"""One JSON line per event: `event`, `at`, `level`, `request_id`, and what the caller names."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, BinaryIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure_logs(level: str, to: BinaryIO | None = None) -> None:
    """To standard output, unless told otherwise."""
    structlog.configure(
        processors=[_stamp, structlog.processors.format_exc_info, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(to or sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )


def _stamp(_: Any, level: str, event: EventDict) -> EventDict:
    asked = request_id.get()
    if asked is not None:
        event["request_id"] = asked
    event["level"] = level
    event["at"] = datetime.now(UTC).isoformat()
    return event


def _render(_: Any, __: str, event: EventDict) -> bytes:
    return to_json(event, serialize_unknown=True)
