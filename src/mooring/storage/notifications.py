"""Everyone's words for "an object came" → ours: S3 (Amazon, MinIO, Ceph), EventBridge, SNS, SQS, Google's Pub/Sub and
JSON, CloudEvents; one, or many, or one inside the other.

Nothing in here is believed: a name is no more than a reason to look."""

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from pydantic_core import from_json

from mooring.errors import EventsNotReadable

MOST_RECORDS = 10_000  # of one message; no sender's batch is larger
DEEPEST = 6  # S3's record in SNS' message in SQS' body in a batch is four
CAME = ("ObjectCreated:", "s3:ObjectCreated:")
TESTS = ("s3:TestEvent", "s3:CreateTest")


class Told(NamedTuple):
    """Somebody says that an object came."""

    names: tuple[str, ...]  # what it may be called: as it was written and, where that differs, read as a part of a URL
    at: datetime | None = None


class Unreadable(NamedTuple):
    record: str  # where it stood, as in `Records[7]`
    reason: str


@dataclass
class Heard:
    """What a message says."""

    told: list[Told] = field(default_factory=list)
    ignored: int = 0  # deletions, tests, what is about anything else than an object that came
    unreadable: list[Unreadable] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.told) + self.ignored + len(self.unreadable)


def hear(message: bytes | str) -> Heard:
    """Of many records the broken ones are named and the others count. `EventsNotReadable` where it is no JSON, or
    nothing in it makes sense: then whoever sends it is set up wrongly."""
    try:
        said = from_json(message)
    except ValueError as wrong:
        raise EventsNotReadable(f"it is no JSON ({wrong})") from None
    heard = hear_value(said)
    if heard.unreadable and len(heard.unreadable) == len(heard):
        raise EventsNotReadable(": ".join(filter(None, heard.unreadable[0])))
    return heard


def hear_value(said: object) -> Heard:
    heard = Heard()
    _hear(said, "", heard, 0)
    return heard


class _Broken(Exception):
    pass


def _hear(said: Any, place: str, heard: Heard, depth: int) -> None:
    if len(heard) >= MOST_RECORDS:
        raise EventsNotReadable(f"it has more than {MOST_RECORDS} records")
    if depth > DEEPEST:
        heard.unreadable.append(Unreadable(place, "too many envelopes, one in the other"))
    elif isinstance(said, list):
        for number, one in enumerate(said):
            _hear(one, f"{place}[{number}]", heard, depth + 1)
    else:
        try:
            _hear_one(said, place, heard, depth)
        except _Broken as broken:
            heard.unreadable.append(Unreadable(place, str(broken)))


def _hear_one(said: Any, place: str, heard: Heard, depth: int) -> None:
    if not isinstance(said, dict):
        raise _Broken("it is no JSON object")
    envelope = None if "s3" in said else next((name for name in _ENVELOPES if name in said), None)
    inside = _ENVELOPES[envelope](said) if envelope else None
    if inside is not None:
        _hear(inside, f"{place}.{envelope}".lstrip("."), heard, depth + 1)
        return
    told = _form_of(said)(said)
    if told is None:
        heard.ignored += 1
    else:
        heard.told.append(told)


def _form_of(said: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Told | None]:
    for mark, reads in _FORMS.items():
        if mark in said:
            return reads
    raise _Broken("it is no event of a kind that is known here")


# ── what carries others ──


def _records(said: Mapping[str, Any]) -> Any:
    if not isinstance(said["Records"], list):
        raise _Broken("its Records are no list")
    return said["Records"]


def _minio_in_redis(said: Mapping[str, Any]) -> Any:
    """`[{"Event": [record], "EventTime": …}]`. Amazon's test has a text there."""
    return said["Event"] if isinstance(said["Event"], list) else None


def _sqs(said: Mapping[str, Any]) -> Any:
    return _json(said["body"])


def _sns_to_lambda(said: Mapping[str, Any]) -> Any:
    return _part(said, "Sns")


def _sns(said: Mapping[str, Any]) -> Any:
    """A `Type` of another kind asks for a confirmation: a person's business."""
    return _json(said["Message"]) if said.get("Type", "Notification") == "Notification" else None


def _pubsub(said: Mapping[str, Any]) -> Any:
    """Google says it in the attributes; the payload is only needed where they are missing."""
    message = _part(said, "message")
    attributes = message.get("attributes")
    if isinstance(attributes, dict) and "eventType" in attributes:
        return attributes
    return _json(_decoded(message.get("data")))


def _cloud_event(said: Mapping[str, Any]) -> Any:
    """Its content, where that is an event in itself."""
    content = _json(_decoded(said["data_base64"])) if "data_base64" in said else said.get("data")
    if isinstance(content, str):
        content = _json(content)
    marks = ("s3", "Records", "detail-type")
    return content if isinstance(content, dict) and any(mark in content for mark in marks) else None


_ENVELOPES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "Records": _records,
    "Event": _minio_in_redis,
    "body": _sqs,
    "Sns": _sns_to_lambda,
    "Message": _sns,
    "message": _pubsub,
    "specversion": _cloud_event,
}


# ── what says it ──


def _s3(said: Mapping[str, Any]) -> Told | None:
    name = _text(said, "eventName")
    if not name.startswith(CAME):
        return None
    return _told(_text(_part(_part(said, "s3"), "object"), "key"), said.get("eventTime"))


def _eventbridge(said: Mapping[str, Any]) -> Told | None:
    if said["detail-type"] != "Object Created":
        return None
    return _told(_text(_part(_part(said, "detail"), "object"), "key"), said.get("time"))


def _google_attributes(said: Mapping[str, Any]) -> Told | None:
    if said["eventType"] != "OBJECT_FINALIZE":
        return None
    return _told(_text(said, "objectId"), said.get("eventTime"))


def _google_object(said: Mapping[str, Any]) -> Told | None:
    if said["kind"] != "storage#object":
        return None
    return _told(_text(said, "name"), said.get("timeCreated"))


def _other_cloud_event(said: Mapping[str, Any]) -> Told | None:
    kind = _text(said, "type").lower()
    if not kind.endswith(("finalized", "created", "created:put", "created:post", "created:completemultipartupload")):
        return None
    content = said.get("data")
    content = content if isinstance(content, dict) else {}
    inner = content.get("object")
    named = content.get("name") or content.get("key") or (inner.get("key") if isinstance(inner, dict) else None)
    if named is None and isinstance(subject := said.get("subject"), str):
        named = subject.removeprefix("objects/")
    return _told(_text({"name": named}, "name"), said.get("time"))


def _test(said: Mapping[str, Any]) -> None:
    if said["Event"] not in TESTS:
        raise _Broken(f"its Event is {str(said['Event'])[:100]!r}")


_FORMS: Mapping[str, Callable[[Mapping[str, Any]], Told | None]] = {
    "s3": _s3,
    "detail-type": _eventbridge,
    "specversion": _other_cloud_event,
    "eventType": _google_attributes,
    "kind": _google_object,
    "Event": _test,
    "Type": lambda _: None,
}


# ── pieces ──


def _told(key: str, at: object) -> Told:
    plain = unquote_plus(key) if "%" in key or "+" in key else key
    return Told((key,) if plain == key else (key, plain), _moment(at))


def _moment(written: object) -> datetime | None:
    """It only measures: what can't be read is no reason to overhear the event."""
    try:
        at = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    if not isinstance(found, str) or not found:
        raise _Broken(f"its {name} is missing" if found is None else f"its {name} is no text")
    return found


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    if not isinstance(found, dict):
        raise _Broken(f"its {name} is missing" if found is None else f"its {name} is no JSON object")
    return found


def _json(text: object) -> Any:
    try:
        return from_json(text) if isinstance(text, str | bytes) else text
    except ValueError:
        raise _Broken("what it carries is no JSON") from None


def _decoded(text: object) -> bytes:
    try:
        return b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        raise _Broken("what it carries is no Base64") from None
