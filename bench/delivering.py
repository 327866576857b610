"""Photos on their way out: the list, and the image by way of a CDN, against the usual service."""

import asyncio
import statistics
from collections.abc import Sequence
from contextlib import ExitStack

import contenders
from asked import Asked
from contenders import CDN_SECRET, CDN_URL, USERS, query
from load import Ask, Round, press, write_asks
from mooring.db.migrate import migrate
from table import Line, at_least

EACH = 20  # photos of each person, which is what a page shows


def measure(asked: Asked) -> list[Line]:
    ours, usuals = asked.cluster.create("mooring"), asked.cluster.create("usual")
    asyncio.run(migrate(ours))
    contenders.seed_mooring(ours)
    tokens, usual_tokens = contenders.mooring_tokens(), contenders.usual_tokens()
    with ExitStack() as running:
        stub = running.enter_context(contenders.stub_storage())
        cdn = {"MOORING_CDN": "nginx", "MOORING_CDN_URL": CDN_URL, "MOORING_CDN_KEY": CDN_SECRET}
        redirecting = running.enter_context(contenders.mooring(ours, stub, **cdn))
        listing = running.enter_context(contenders.mooring(ours, stub))
        usual = running.enter_context(contenders.usual(usuals, stub))
        contenders.seed_usual(usuals)
        photos = contenders.pending_at_mooring(redirecting, tokens, EACH * len(USERS))
        query(ours, "UPDATE uploads SET processing_status = 'COMPLETED', completed_at = now(), etag = 'e', "
                    "reserved_bytes = 0")  # fmt: skip
        usual_photos = contenders.pending_at_usual(usuals, EACH * len(USERS))
        query(usuals, "UPDATE photos SET status = 'COMPLETED'")
        pressed = {
            "image": (redirecting, _images(tokens, photos)),
            "usual image": (usual, _images(usual_tokens, usual_photos)),
            "list": (listing, _lists(tokens)),
            "usual list": (usual, _lists(usual_tokens)),
        }
        seen: dict[str, list[Round]] = {name: [] for name in pressed}
        files = {name: (server, write_asks(f"photos-{name}", asks)) for name, (server, asks) in pressed.items()}
        for server, asks in files.values():
            press(server, asks, seconds=1)
        for _ in range(asked.rounds):
            for name, (server, asks) in files.items():
                seen[name].append(press(server, asks, seconds=asked.seconds))
    return [
        _line("`GET /photos/{id}/image`, 302 to a CDN, against the usual service's", seen, "image", 20),
        _line(f"`GET /photos?limit={EACH}` against the usual service's", seen, "list", 12),
    ]


def _images(tokens: Sequence[str], photo_ids: Sequence[int]) -> list[Ask]:
    """The photos belong to the people in turn."""
    return [
        Ask("GET", f"/photos/{photo_id}/image", tokens[turn % len(tokens)]) for turn, photo_id in enumerate(photo_ids)
    ]


def _lists(tokens: Sequence[str]) -> list[Ask]:
    return [Ask("GET", f"/photos?limit={EACH}", token) for token in tokens]


def _line(title: str, seen: dict[str, list[Round]], name: str, budget: float) -> Line:
    ours, theirs = seen[name], seen[f"usual {name}"]
    ratio = statistics.median(one.per_second / other.per_second for one, other in zip(ours, theirs, strict=True))
    our, their, cpu, usual_cpu = (
        statistics.median(figures)
        for figures in (
            [one.per_second for one in ours],
            [one.per_second for one in theirs],
            [one.cpu_us for one in ours],
            [one.cpu_us for one in theirs],
        )
    )
    details = f"{our:,.0f}/s against {their:,.0f}/s; {cpu:.0f} µs CPU against {usual_cpu:,.0f} µs"
    return at_least(title, ratio, budget, details)
