"""Which queue, of which broker: from the URL that `mooring events --from` is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from mooring.errors import SetupProblem

# Our own words in each scheme's query, with their defaults; None must be given. What else is there is the library's.
OURS: Mapping[str, Mapping[str, str | None]] = {
    "sqs": {"region": "", "endpoint": ""},
    "amqp": {"queue": None, "exchange": "", "routing_key": "#"},
    "nats": {"stream": None, "subject": None, "durable": "mooring", "claim_after": "60"},
    "kafka": {"topic": None, "group": "mooring", "claim_after": "10"},
    "redis": {"stream": "", "list": "", "group": "mooring", "claim_after": "60"},
}
FORMS: Mapping[str, str] = {
    "sqs": "sqs://QUEUE?region=R&endpoint=URL",
    "amqp": "amqp://user:password@host/vhost?queue=NAME&exchange=NAME&routing_key=KEY",
    "nats": "nats://host:4222?stream=NAME&subject=SUBJECT&durable=NAME",
    "kafka": "kafka://host:9092,host:9092?topic=NAME&group=NAME",
    "redis": "redis://:password@host:6379/0?stream=NAME&group=NAME, or ?list=NAME",
}
WITH_TLS = {"amqps": "amqp", "rediss": "redis"}


@dataclass(frozen=True, slots=True)
class Source:
    kind: str
    url: str = field(repr=False)  # without our own words
    host: str
    words: Mapping[str, str]

    def __str__(self) -> str:
        """For people and logs: no password."""
        named = next((self.words[word] for word in ("queue", "stream", "list", "topic") if self.words.get(word)), "")
        return f"{self.kind}://{self.host} {named}".rstrip()


def source_of(written: str) -> Source:
    scheme, netloc, path, query, _ = urlsplit(written)
    kind = WITH_TLS.get(scheme, scheme)
    if kind not in FORMS:
        raise SetupProblem(f"Events come from one of these: {'; '.join(FORMS.values())}.")
    host = netloc.rpartition("@")[2]
    said = dict(parse_qsl(query, keep_blank_values=True))
    words = {word: said.pop(word, usual) for word, usual in OURS[kind].items()}
    lacking = [word for word, value in words.items() if value is None]
    if kind == "redis" and bool(words["stream"]) == bool(words["list"]):
        lacking = ["stream or list"]
    if not host or lacking:
        raise SetupProblem(f"The URL lacks {', '.join(lacking) or 'a host'}: write {FORMS[kind]}.")
    rest = f"?{urlencode(said)}" if said else ""
    return Source(kind, f"{scheme}://{netloc}{path}{rest}", host, {word: value or "" for word, value in words.items()})
