"""Storage tells of what came: how many events one instance takes, and what each costs it."""

import asyncio
import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import contenders
from asked import Asked
from contenders import query
from load import Ask, press, write_asks
from mooring.db.migrate import migrate
from table import Line, at_most

SECRET = "the events' secret of the bench"
PER_MESSAGE = 10  # as SQS brings them, and a queue's function


def measure(asked: Asked) -> list[Line]:
    url = asked.cluster.create("telling")
    asyncio.run(migrate(url))
    contenders.seed_mooring(url)
    tokens = contenders.mooring_tokens()
    with ExitStack() as running:
        stub = running.enter_context(contenders.stub_storage())
        env = {"MOORING_EVENTS_SECRET": SECRET, "MOORING_TRIGGERS": "client,event"}
        server = running.enter_context(contenders.mooring(url, stub, **env))
        one_by_one, in_tens = [], []
        for number in range(asked.rounds):
            for rounds, size in ((one_by_one, 1), (in_tens, PER_MESSAGE)):
                enough = 6_000 * asked.seconds
                waiting = contenders.pending_at_mooring(server, tokens, enough)
                asks = write_asks(f"telling-{number}-{size}", _messages(_keys(url, waiting), size))
                rounds.append(press(server, asks, seconds=asked.seconds, cycle=False))
    arrived = query(url, "SELECT count(*) FROM upload_events WHERE what = 'arrived' AND trigger = 'event'")[0][0]
    told = sum(one.completed for one in one_by_one) + PER_MESSAGE * sum(one.completed for one in in_tens)
    if arrived < told:
        raise SystemExit(f"{told} events were taken, and only {arrived} uploads arrived.")
    each = statistics.median(one.cpu_us for one in one_by_one)
    of_ten = statistics.median(one.cpu_us for one in in_tens) / PER_MESSAGE
    per_second = statistics.median(one.per_second for one in one_by_one)
    in_tens_per_second = statistics.median(one.per_second for one in in_tens) * PER_MESSAGE
    return [
        Line(
            "`POST /events/storage`, event → `UPLOADED`, one instance",
            f"**{per_second:,.0f}/s** one by one, {in_tens_per_second:,.0f}/s in messages of {PER_MESSAGE}",
            "≥ 1,000/s",
            per_second >= 1000,
        ),
        at_most(
            "its server CPU per event, one by one", each, 300, "µs", f"{of_ten:.0f} µs in messages of {PER_MESSAGE}"
        ),
    ]


def _keys(url: str, upload_ids: Sequence[int]) -> list[str]:
    found = query(url, f"SELECT object_key FROM uploads WHERE id >= {min(upload_ids)} AND id <= {max(upload_ids)}")
    return [row[0] for row in found]


def _messages(keys: Sequence[str], size: int) -> Iterator[Ask]:
    for start in range(0, len(keys) - size + 1, size):
        body = {"Records": [_record(key) for key in keys[start : start + size]]}
        yield Ask("POST", "/events/storage", SECRET, json.dumps(body, separators=(",", ":")))


def _record(key: str) -> dict[str, object]:
    """As Amazon writes it, with all that we do not read."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2025-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDA"},
        "requestParameters": {"sourceIPAddress": "203.0.113.7"},
        "responseElements": {"x-amz-request-id": "D82B88E5F771F645", "x-amz-id-2": "vlR7PnpV2Ce81l0PRw6jlUpck7Jo5ZsQ"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "mooring",
            "bucket": {"name": "photos", "ownerIdentity": {"principalId": "A3I5"}, "arn": "arn:aws:s3:::photos"},
            "object": {"key": key, "size": contenders.SIZE, "eTag": contenders.ETAG, "sequencer": "0055AED6DCD90281E5"},
        },
    }
