"""A log line as Log & Crash Search takes it: fields of its own names, ours beside them within its bounds."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

MOST_BYTES = 16 * 2**20  # of a bulk; it takes 52 MB
MOST_OF_BODY = 2**20  # a log may have 8 MB with everything
MOST_OF_FIELD = 1024
MOST_OF_TEXT = 2**20  # of fields that begin with `txt`
LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR", "critical": "FATAL"}

# Its own names, in whatever case; and beginnings that say a type.
_RESERVED = re.compile(
    "(?i)(project(Name|Version)|log(Version|Source|Type|Level|Time)|body|host|(send|create)Time|lnc(BulkIndex|IssueID)"
    "|transactionID|User(BinaryData|TxtData|ID)|Device(Model|ID)|Carrier|CountryCode|Platform|NetworkType|SessionID"
    "|launchedID|SdkVersion|CrashStyle|Sym(Method|Result)|dmpData|Free(Memory|DiskSpace)|SinkVersion|errorCode|crashMeta"
    "|ExceptionType|Location)"
)
_TYPED = ("txt", "long", "double")


@dataclass(frozen=True)
class Project:
    app_key: str
    version: str
    host: str


def record_of(line: bytes, project: Project, number: int) -> bytes:
    """`number` keeps the order of lines of one moment: the highest is the newest."""
    event = _read(line)
    record: dict[str, Any] = {
        "projectName": project.app_key,
        "projectVersion": project.version,
        "logVersion": "v2",
        "body": _cut(line.rstrip(b"\n").decode(errors="replace"), MOST_OF_BODY),
        "logSource": "mooring",
        "logType": "mooring",
        "host": project.host,
        "logLevel": LEVELS.get(event.pop("level", "info"), "INFO"),
        "lncBulkIndex": number % 2**31,
    }
    if at := event.pop("at", None):
        record["sendTime"] = str(int(datetime.fromisoformat(at).timestamp() * 1000))
    for name, value in event.items():
        if value is not None:
            text = value if isinstance(value, str) else to_json(value).decode()
            own = _name(name)
            if len(text.encode(errors="replace")) > MOST_OF_FIELD:
                own, text = f"txt_{own}", _cut(text, MOST_OF_TEXT)
            record[own] = text
    return to_json(record)


def _read(line: bytes) -> dict[str, Any]:
    try:
        event = from_json(line)
    except ValueError:  # it goes whole, as the body
        return {}
    return event if isinstance(event, dict) else {}


def _name(name: str) -> str:
    own = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if not own[:1].isalpha() or _RESERVED.fullmatch(own) or own.lower().startswith(_TYPED):
        own = f"own_{own}"
    return own


def _cut(text: str, most: int) -> str:
    """To so many bytes, and no half characters."""
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= most else encoded[:most].decode(errors="ignore")
