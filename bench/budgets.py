"""The budgets, one after the other."""

import asyncio
import statistics
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import contenders
import ledger
import statement
from asked import Asked
from contenders import BATCH, query
from ground import ALL_CORES, BENCH, BENCH_PYTHON, OTHER_CORES, PYTHON, SERVER_CORE, Server
from load import Round, press, write_asks
from mooring.db.migrate import migrate
from table import Line, at_least, at_most, shown

Theirs = TypeVar("Theirs")


# ── requests ──


@dataclass
class Seen:
    """Every round of the run."""

    issue: list[Round] = field(default_factory=list)
    usual_issue: list[Round] = field(default_factory=list)
    empty: list[Round] = field(default_factory=list)
    pgbench: list[float] = field(default_factory=list)
    batch: list[Round] = field(default_factory=list)
    confirm: list[Round] = field(default_factory=list)
    usual_confirm: list[Round] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def requests(asked: Asked) -> list[Line]:
    ours, usuals = asked.cluster.create("mooring"), asked.cluster.create("usual")
    asyncio.run(migrate(ours))
    contenders.seed_mooring(ours)
    with ExitStack() as running:
        stub = running.enter_context(contenders.stub_storage())
        mooring = running.enter_context(contenders.mooring(ours, stub))
        usual = running.enter_context(contenders.usual(usuals, stub))
        contenders.seed_usual(usuals)
        empty = running.enter_context(contenders.empty_route())
        run = Run(mooring, usual, empty, ours, usuals, asked.seconds)
        run.warm_up()
        for number in range(asked.rounds):
            run.issue()
            run.batch()
            run.confirm(number)
        run.check_that_it_is_durable()
    return _lines_of(run.seen)


@dataclass
class Run:
    mooring: Server
    usual: Server
    empty: Server
    ours: str  # addresses of the databases
    usuals: str
    seconds: int
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        self.tokens, self.usual_tokens = contenders.mooring_tokens(), contenders.usual_tokens()
        self.issues = write_asks("issue", contenders.issues(self.tokens))
        self.usual_issues = write_asks("issue-usual", contenders.issues(self.usual_tokens))
        self.batches = write_asks("batch", contenders.batches(self.tokens))

    def warm_up(self) -> None:
        press(self.mooring, self.issues, seconds=2)
        press(self.usual, self.usual_issues, seconds=2)
        press(self.empty, self.issues, seconds=2)
        self.seen.memory.append(self.mooring.rss_mb())

    def issue(self) -> None:
        self.seen.empty.append(press(self.empty, self.issues, seconds=self.seconds))
        self._press(self.seen.issue, self.issues)
        self.seen.pgbench.append(statement.per_second(self.ours, seconds=self.seconds))
        self.seen.usual_issue.append(press(self.usual, self.usual_issues, seconds=self.seconds))

    def batch(self) -> None:
        self._press(self.seen.batch, self.batches, connections=4)

    def confirm(self, number: int) -> None:
        """Each photo is confirmed once, so each round brings its own."""
        waiting = contenders.pending_at_mooring(self.mooring, self.tokens, self._enough(self.seen.issue))
        asks = write_asks(f"confirm-{number}", contenders.confirms(self.tokens, waiting))
        self._press(self.seen.confirm, asks, cycle=False)
        waiting = contenders.pending_at_usual(self.usuals, self._enough(self.seen.usual_issue))
        asks = write_asks(f"confirm-usual-{number}", contenders.confirms(self.usual_tokens, waiting))
        self.seen.usual_confirm.append(press(self.usual, asks, seconds=self.seconds, cycle=False))

    def _enough(self, issued: Sequence[Round]) -> int:
        """A confirm is dearer than an issue: twice as many photos as were issued in a round outlast it."""
        return 2 * max(one.completed for one in issued)

    def _press(self, seen: list[Round], asks: Path, *, cycle: bool = True, connections: int = 32) -> None:
        one = press(self.mooring, asks, seconds=self.seconds, cycle=cycle, connections=connections)
        seen.append(one)
        self.seen.memory.append(one.rss_mb)

    def check_that_it_is_durable(self) -> None:
        """What was answered is in the database, in every table it belongs into."""
        issued = _completed(self.seen.issue) + BATCH * _completed(self.seen.batch)
        confirmed = _completed(self.seen.confirm)
        counts = query(
            self.ours,
            """SELECT (SELECT count(*) FROM temp_upload_records) AS ledger,
                      (SELECT count(*) FROM photos) AS photos,
                      (SELECT count(*) FROM upload_events WHERE what = 'issued') AS issued,
                      (SELECT count(*) FROM upload_events WHERE what = 'arrived') AS arrived""",
        )[0]
        if min(counts["ledger"], counts["photos"], counts["issued"]) < issued or counts["arrived"] < confirmed:
            raise SystemExit(f"Answers were given that are not in the database: {dict(counts)}")


def _lines_of(seen: Seen) -> list[Line]:
    issue, usual, confirm = _Middle(seen.issue), _Middle(seen.usual_issue), _Middle(seen.confirm)
    pgbench = statistics.median(seen.pgbench)
    per_url = statistics.median(one.cpu_us for one in seen.batch) / BATCH
    memory = seen.memory
    return [
        at_least(
            "`POST /photos/presigned-url` against pgbench running its statement",
            _ratio(seen.issue, seen.pgbench, lambda ours, theirs: ours.per_second / theirs),
            0.6,
            f"{issue.per_second:,.0f}/s against {pgbench:,.0f}/s; {_completed(seen.issue):,} requests",
        ),
        at_most(
            "its server CPU against an empty FastAPI route",
            _ratio(seen.issue, seen.empty, lambda ours, empty: ours.cpu_us / empty.cpu_us),
            1.5,
            "×",
            f"{issue.cpu_us:.0f} µs against {_Middle(seen.empty).cpu_us:.0f} µs",
        ),
        at_least(
            "against the usual service",
            _ratio(seen.issue, seen.usual_issue, lambda ours, usual: ours.per_second / usual.per_second),
            20,
            f"{issue.per_second:,.0f}/s against {usual.per_second:,.0f}/s",
        ),
        at_most("p99 at 32 connections", issue.p99_ms, 10, "ms", f"p50 {issue.p50_ms:.1f} ms", gated=False),
        at_most(f"batch of {BATCH}, server CPU per URL", per_url, 40, "µs"),
        at_least(
            "`POST /photos/confirm` against the usual service's",
            _ratio(seen.confirm, seen.usual_confirm, lambda ours, usual: ours.per_second / usual.per_second),
            12,
            f"{confirm.per_second:,.0f}/s against {_Middle(seen.usual_confirm).per_second:,.0f}/s; "
            f"{confirm.cpu_us:.0f} µs CPU, p99 {confirm.p99_ms:.1f} ms",
        ),
        at_most("memory of `mooring serve` after the run", memory[-1], 120, "MB"),
        # The first rounds fill caches of bounded size; what grows after half of the run grows for ever.
        at_most("its growth over the second half", _growth(memory), 5, "%", _path(memory)),
    ]


@dataclass(frozen=True)
class _Middle:
    """The medians over rounds."""

    rounds: Sequence[Round]

    def __getattr__(self, figure: str) -> float:
        return statistics.median(getattr(one, figure) for one in self.rounds)


def _ratio(ours: Sequence[Round], theirs: Sequence[Theirs], of: Callable[[Round, Theirs], float]) -> float:
    return statistics.median(map(of, ours, theirs))


def _completed(rounds: Sequence[Round]) -> int:
    return sum(one.completed for one in rounds)


def _path(memory: Sequence[float]) -> str:
    return f"{memory[0]:.0f} → {memory[len(memory) // 2]:.0f} → {memory[-1]:.0f} MB"


def _growth(memory: Sequence[float]) -> float:
    return (memory[-1] / memory[len(memory) // 2] - 1) * 100


# ── signing alone ──


def signing(_: Asked) -> list[Line]:
    ratios, ours, theirs = [], [], []
    for _ in range(3):
        ours.append(_microseconds(PYTHON, "mooring"))
        theirs.append(_microseconds(BENCH_PYTHON, "boto3"))
        ratios.append(theirs[-1] / ours[-1])
    details = f"{statistics.median(ours):.1f} µs against {statistics.median(theirs):.0f} µs"
    return [at_least("presign alone, against boto3's", statistics.median(ratios), 12, details)]


def _microseconds(python: Path, whose: str) -> float:
    command = ["taskset", "-c", ",".join(map(str, SERVER_CORE)), python, BENCH / "presign.py", whose]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# ── the ledger ──


def totals(asked: Asked) -> list[Line]:
    cluster, rows = asked.cluster, asked.rows
    ours, guides = cluster.create("ledger"), cluster.create("guide")
    cluster.pin(ALL_CORES)  # nothing else runs now: let the guide's scans be parallel
    try:
        found = asyncio.run(ledger.measure(ours, guides, rows))
    finally:
        cluster.pin(OTHER_CORES)
    title = f"guide 000's totals, {found.incomplete:,} of {rows:,} incomplete, against its plain indexes"
    count, *others = ledger.TOTALS
    return [
        at_least(f"{title}: {count}", found.times_faster(count), 5, found.details(count)),
        *(shown(f"… {name}", f"{found.times_faster(name):.1f} × ({found.details(name)})") for name in others),
        at_most(
            "the ledger's index",
            found.our_index_mb,
            12,
            "MB",
            f"plain: {found.guides_indexes_mb:.0f} MB",
        ),
    ]
