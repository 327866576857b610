"""`mooring report`: the points of the checklist with their figures, each well, to be looked at, or not to be told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from importlib.resources import files as package
from typing import Literal

from mooring.db.pool import Executor
from mooring.errors import MooringError, SetupProblem
from mooring.observe.monitoring.asking import Line, Prometheus
from mooring.observe.monitoring.checklist import HEADS, Check, Period, asked, checks_of
from mooring.observe.monitoring.units import shown
from mooring.uploads.tracking import aggregate_incomplete_after_ttl

Verdict = Literal["ok", "look", "can't tell"]
DAYS: dict[Period, int] = {"day": 1, "week": 7, "month": 30}
MOST_SHOWN = 5
MOST_INCOMPLETE = 100
TOP_USERS = """SELECT user_id, used_bytes FROM quotas WHERE used_bytes > 0 ORDER BY used_bytes DESC, user_id LIMIT 5"""
TOTALS = "SELECT (SELECT count(*) FROM users), coalesce(sum(used_bytes), 0)::bigint FROM quotas"
TOLERANCE = 0.02  # of what the gauges say of the database: they are up to a minute old


@dataclass(frozen=True, slots=True)
class Point:
    area: str
    title: str
    figure: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Report:
    period: Period
    until: datetime
    points: Sequence[Point]

    @property
    def head(self) -> str:
        since = self.until - timedelta(days=DAYS[self.period])
        return f"{HEADS[self.period]}, {since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"


async def reported(db: Executor, prometheus: str, period: Period, *, at: datetime) -> Report:
    points = [*_by_prometheus(prometheus, period, at), *await _by_database(db, prometheus, period, at)]
    areas = list(dict.fromkeys(point.area for point in points))
    return Report(period, at, sorted(points, key=lambda point: areas.index(point.area)))


def _by_prometheus(url: str, period: Period, at: datetime) -> Iterator[Point]:
    with Prometheus(url) as prometheus:
        for check in checks_of(period):
            try:
                lines = prometheus.now(asked(check, period), at)
            except SetupProblem as failure:
                yield Point(check.area, check.title, failure.message, "can't tell")
                continue
            yield Point(check.area, check.title, _figure(check, lines), _verdict(check, lines))


def _figure(check: Check, lines: Sequence[Line]) -> str:
    if not lines:
        return "none" if check.none_is_well else "no data"
    largest = sorted(lines, key=lambda line: -line.last)[:MOST_SHOWN]
    numbers = [shown(line.last, check.unit, check.decimals) for line in largest]
    if not check.legend:
        return numbers[0]
    named = ", ".join(f"{line.named(check.legend)} {number}" for line, number in zip(largest, numbers, strict=True))
    return named + (f", and {len(lines) - MOST_SHOWN} more" if len(lines) > MOST_SHOWN else "")


def _verdict(check: Check, lines: Sequence[Line]) -> Verdict:
    if not lines:
        return "ok" if check.none_is_well else "can't tell"
    low = check.least is not None and any(line.last < check.least for line in lines)
    high = check.most is not None and any(line.last > check.most for line in lines)
    return "look" if low or high else "ok"


async def _by_database(db: Executor, prometheus: str, period: Period, at: datetime) -> list[Point]:
    since = at - timedelta(days=DAYS[period])
    try:
        found = await aggregate_incomplete_after_ttl(db, now=at, since=since, limit=1)
        top = await db.fetch(TOP_USERS)
        [(users, stored)] = await db.fetch(TOTALS)
    except MooringError as failure:
        return [Point("Uploads", "The ledger", failure.message, "can't tell")]
    culprits = ", ".join(f"user {who} {count}" for who, count in list(found.by_user_id.items())[:MOST_SHOWN])
    incomplete = f"{found.total_count}" + (f" ({culprits})" if culprits else "")
    largest = ", ".join(f"user {who} {shown(float(used), 'bytes')}" for who, used in top)
    points = [
        Point("Uploads", "Incomplete", incomplete, "look" if found.total_count > MOST_INCOMPLETE else "ok"),
        Point("Growth", "Largest users", largest or "none", "ok"),
        Point("Growth", "Users, and what they store", f"{users}, {shown(float(stored), 'bytes')}", "ok"),
    ]
    if period == "month":
        points += _true_gauges(
            prometheus, at, {"photo_api_users_total": users, "photo_api_object_storage_usage_bytes": stored}
        )
    return points


def _true_gauges(url: str, at: datetime, expected: dict[str, int]) -> Iterator[Point]:
    """Whether what is measured is what is so."""
    with Prometheus(url) as prometheus:
        for metric, number in expected.items():
            title = f"{metric} says what the database says"
            try:
                lines = prometheus.now(f'max({metric}{{status=~"|total"}})', at)
            except SetupProblem as failure:
                yield Point("Monitoring", title, failure.message, "can't tell")
                continue
            if not lines:
                yield Point("Monitoring", title, "no data", "can't tell")
                continue
            is_near = abs(lines[0].last - number) <= max(1.0, number * TOLERANCE)
            yield Point("Monitoring", title, f"{lines[0].last:.0f} of {number}", "ok" if is_near else "look")


def as_text(found: Report) -> str:
    width = max(len(point.title) for point in found.points)
    lines = [found.head]
    area = ""
    for point in found.points:
        if point.area != area:
            area = point.area
            lines += ["", area]
        lines.append(f"  {point.verdict:<10}  {point.title:<{width}}  {point.figure}")
    looks = sum(point.verdict == "look" for point in found.points)
    unknown = sum(point.verdict == "can't tell" for point in found.points)
    return "\n".join([*lines, "", f"{looks} to look at, {unknown} that can't be told, of {len(found.points)}."])


def as_page(found: Report) -> str:
    style = (package("mooring.observe.monitoring") / "preview.css").read_text()
    rows, area = [], ""
    for point in found.points:
        if point.area != area:
            area = point.area
            rows.append(f'<tr><th colspan="3">{escape(area)}</th></tr>')
        kind = {"ok": "good", "look": "critical", "can't tell": "warning"}[point.verdict]
        rows.append(
            f'<tr><td><span class="pill {kind}">{escape(point.verdict)}</span></td>'
            f"<td>{escape(point.title)}</td><td>{escape(point.figure)}</td></tr>"
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Mooring</title>\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f'<style>\n{style}</style></head><body class="report">\n<header><h1>{escape(found.head)}</h1></header>\n'
        f"<article><table>{''.join(rows)}</table></article></body></html>\n"
    )
