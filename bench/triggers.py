"""Guide 004's four triggers, measured on the same uploads: `make bench-triggers`.

What happens around Mooring (clients that vanish or lie, events that are late, doubled and out of order) is drawn from a
seed and played in a time of its own, event by event, so that a day takes seconds. What Mooring does is real: its
services, a real PostgreSQL, a real store, with every call to storage and every statement counted."""

import argparse
import asyncio
import heapq
import random
import shutil
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import database
from database import Cluster
from ground import ROOT, WORK
from mooring.db.migrate import migrate
from mooring.db.pool import Database, open_database
from mooring.errors import MooringError
from mooring.library.albums import Albums
from mooring.library.photos import Photos
from mooring.observe.logs import configure_logs
from mooring.observe.metrics import Metrics
from mooring.storage.disk import DiskStorage
from mooring.storage.notifications import Heard, Told
from mooring.uploads.kinds import photo
from mooring.uploads.lifecycle import Trigger
from mooring.uploads.quota import Plan
from mooring.uploads.service import Claim, Terms, Uploads
from mooring.uploads.storage_events import StorageEvents
from mooring.uploads.sweep import Sweep

UPLOADS = 500
VANISH_AFTER, VANISH_BEFORE, LIE = 0.10, 0.05, 0.02
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
BODY = b"\xff\xd8\xff the bench's photo"
SWEEP_EVERY = 30.0
PAGE = ROOT / "docs/explanation/triggers.md"
SETS: Sequence[tuple[str, ...]] = (
    ("client",),
    ("event",),
    ("function",),
    ("sweep",),
    ("client", "sweep"),
    ("client", "event", "sweep"),
    ("client", "event", "function", "sweep"),
)


@dataclass(frozen=True)
class Fate:
    """What becomes of one upload, whichever triggers are on."""

    issued: float  # seconds from the beginning
    put: float | None  # None: vanished before, or a lie
    confirms: tuple[float, ...]
    events: tuple[float, ...]
    calls: tuple[float, ...]  # of the function


def fates(seed: int) -> list[Fate]:
    """Half of the events come within half a second; one in twenty is late by up to two minutes, one in five comes
    twice. A function adds its own start: some milliseconds, or, one time in twenty, that of a cold one."""
    dice = random.Random(seed)
    return [_fate(dice, number * 1.2) for number in range(UPLOADS)]


def _fate(dice: random.Random, issued: float) -> Fate:
    drawn = dice.random()
    put = issued + (dice.uniform(1, 60) if dice.random() > 0.05 else dice.uniform(60, 600))
    hop = dice.uniform(0.03, 0.3)
    late = dice.uniform(10, 120) if dice.random() < 0.05 else 0.0
    events = [put + dice.lognormvariate(-0.7, 0.6) + late]
    if dice.random() < 0.2:
        events.append(put + dice.uniform(0.2, 60))
    calls = [at + (dice.uniform(1, 3) if dice.random() < 0.05 else dice.uniform(0.005, 0.05)) for at in events]
    if drawn < LIE:
        return Fate(issued, None, (issued + 1, issued + 2, issued + 60), (), ())
    if drawn < LIE + VANISH_BEFORE:
        return Fate(issued, None, (), (), ())
    confirms = () if drawn < LIE + VANISH_BEFORE + VANISH_AFTER else (put + hop,)
    return Fate(issued, put, confirms, tuple(events), tuple(calls))


# ── what is counted ──


@dataclass
class Counts:
    storage: int = 0
    statements: int = 0


class Counted:
    """Whatever it stands before, with the calls of these names counted."""

    def __init__(self, behind: Any, names: frozenset[str], add: Callable[[], None]) -> None:
        self._behind, self._names, self._add = behind, names, add

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            self._add()
        return getattr(self._behind, name)


@dataclass
class Row:
    triggers: tuple[str, ...]
    waits: list[float] = field(default_factory=list)
    missed: int = 0
    believed: int = 0  # arrived, and no bytes were there
    left_open: int = 0  # never came, and nobody gave them up
    counts: Counts = field(default_factory=Counts)

    def cells(self) -> list[str]:
        waits = sorted(self.waits)
        median = _span(statistics.median(waits)) if waits else "–"
        p95 = _span(waits[int(len(waits) * 0.95)]) if waits else "–"
        each = [self.counts.storage / UPLOADS, self.counts.statements / UPLOADS]
        numbers = [str(self.missed), str(self.believed), str(self.left_open), *(f"{one:.1f}" for one in each)]
        return [", ".join(self.triggers), median, p95, *numbers]


def _span(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


# ── the play ──


@dataclass
class Play:
    db: Database
    folder: Path
    fates: Sequence[Fate]
    row: Row
    now: float = 0.0

    def clock(self) -> datetime:
        return BEGIN + timedelta(seconds=self.now)

    async def run(self) -> Row:
        disk = DiskStorage(self.folder, b"a secret of the bench", "http://localhost", self.clock)
        await disk.setup(origins=[])
        counts = self.row.counts
        storage = Counted(disk, frozenset({"stat", "delete", "read", "copy"}), lambda: _add(counts, "storage"))
        statements = frozenset({"fetch", "fetchrow", "fetchval", "execute", "transaction"})
        counted = Counted(self.db, statements, lambda: _add(counts, "statements"))
        terms = Terms(timedelta(minutes=15), timedelta(minutes=2), timedelta(hours=24), [Plan("free", 2**40, 10_000)])
        metrics = Metrics()
        uploads = Uploads(counted, storage, self.clock, terms, metrics)  # type: ignore[arg-type]
        events = StorageEvents(uploads, metrics)
        sweep = Sweep(uploads, batch_size=50, at_once=10, pause=timedelta(seconds=SWEEP_EVERY))
        user_id = await self.db.fetchval("INSERT INTO users (email, password_hash) VALUES ('a', 'x') RETURNING id")
        album = await Albums(self.db, self.clock).create(owner_id=user_id, title="Summer", description=None)
        photos = Photos(Uploads(self.db, disk, self.clock, terms, metrics), photo(10**9), metrics)
        claim = Claim("a.jpg", "image/jpeg", len(BODY))
        ids: dict[int, int] = {}

        async def issue(which: int) -> None:
            ids[which] = (await photos.issue(claim, user_id=user_id, album_id=album.id)).photo_id

        async def put(which: int) -> None:
            await disk.write(await self._key(ids[which]), _once(), content_type="image/jpeg")

        async def confirm(which: int) -> None:
            await uploads.arrive(ids[which], trigger=Trigger.CLIENT, owner_id=user_id)

        async def tell(which: int, trigger: Trigger) -> None:
            await events.take(Heard([Told((await self._key(ids[which]),))]), trigger=trigger)

        await self._play(issue, put, confirm, tell, sweep)
        await self._judge(ids)
        return self.row

    async def _play(self, issue: Any, put: Any, confirm: Any, tell: Any, sweep: Sweep) -> None:
        order = count()
        due: list[tuple[float, int, Callable[[], Awaitable[Any]]]] = []

        def at(moment: float, act: Callable[[], Awaitable[Any]]) -> None:
            heapq.heappush(due, (moment, next(order), act))

        on = self.row.triggers
        for which, fate in enumerate(self.fates):
            at(fate.issued, lambda which=which: issue(which))  # type: ignore[misc]
            if fate.put is not None:
                at(fate.put, lambda which=which: put(which))  # type: ignore[misc]
            for moment in fate.confirms if "client" in on else ():
                at(moment, lambda which=which: confirm(which))  # type: ignore[misc]
            for trigger, moments in (("event", fate.events), ("function", fate.calls)):
                for moment in moments if trigger in on else ():
                    at(moment, lambda which=which, trigger=trigger: tell(which, Trigger(trigger)))  # type: ignore[misc]
        for moment in _sweeps() if "sweep" in on else ():
            at(moment, sweep.once)
        while due:
            self.now, _, act = heapq.heappop(due)
            try:
                await act()
            except MooringError:
                """What a client that lies is told."""

    async def _key(self, upload_id: int) -> str:
        return str(await self.db.fetchval("SELECT object_key FROM uploads WHERE id = $1", upload_id))

    async def _judge(self, ids: dict[int, int]) -> None:
        rows = await self.db.fetch("SELECT id, completed_at, processing_status FROM uploads")
        found = {row["id"]: row for row in rows}
        for which, fate in enumerate(self.fates):
            row = found[ids[which]]
            if fate.put is None:
                self.row.believed += row["completed_at"] is not None
                self.row.left_open += row["processing_status"] == "PENDING"
            elif row["completed_at"] is None:
                self.row.missed += 1
            else:
                self.row.waits.append((row["completed_at"] - BEGIN).total_seconds() - fate.put)


def _add(counts: Counts, name: str) -> None:
    setattr(counts, name, getattr(counts, name) + 1)


def _sweeps() -> list[float]:
    """Every 30 seconds while there is something to find, and now and then until the next day is over."""
    return [number * SWEEP_EVERY for number in range(1, 120)] + [3600.0 + number * 900 for number in range(1, 110)]


async def _once() -> Any:
    yield BODY


async def play_all(cluster: Cluster, seed: int) -> list[Row]:
    rows = []
    for number, triggers in enumerate(SETS):
        name = await asyncio.to_thread(cluster.create, f"triggers{number}")
        await migrate(name)
        folder = WORK / "triggers"
        shutil.rmtree(folder, ignore_errors=True)
        db = await open_database(name)
        rows.append(await Play(db, folder, fates(seed), Row(triggers)).run())
        await db.close()
        shutil.rmtree(folder, ignore_errors=True)
        print("| " + " | ".join(rows[-1].cells()) + " |", flush=True)
    return rows


COLUMNS = (
    "triggers",
    "PUT → arrival, median",
    "p95",
    "missed",
    "wrongly believed",
    "never given up",
    "calls to storage per upload",
    "statements per upload",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args()
    configure_logs("critical")
    WORK.mkdir(exist_ok=True)
    drawn = fates(asked.seed)
    came = [fate for fate in drawn if fate.put is not None]
    vanish = sum(not fate.confirms for fate in came)
    lies = sum(bool(fate.confirms) for fate in drawn if fate.put is None)
    said = (
        f"Seed {asked.seed}: {UPLOADS} uploads, of which {len(came)} are PUT, {vanish} of these "
        f"by clients that vanish then; {lies} clients lie."
    )
    print(f"{said}\n\n{HEAD}", end="", flush=True)
    with database.running() as cluster:
        rows = asyncio.run(play_all(cluster, asked.seed))
    if asked.write:
        begin, end = "<!-- written by make bench-triggers -->\n", "<!-- end -->\n"
        before, rest = PAGE.read_text().split(begin)
        table = HEAD + "".join("| " + " | ".join(row.cells()) + " |\n" for row in rows)
        PAGE.write_text(f"{before}{begin}{said}\n\n{table}{end}{rest.split(end)[1]}")
    if any(row.believed for row in rows):
        raise SystemExit("An upload was believed that never came.")


if __name__ == "__main__":
    main()
