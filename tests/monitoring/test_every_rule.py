"""Every alert of the table, by promtool: silent just below its threshold, silent before its time, told of after it,
silent without traffic, and silent about a target that is gone (of which ServiceDown tells)."""

from pathlib import Path

import pytest

from monitoring.made import IS_UP, Series, at_level
from monitoring.promtool import Situation, lasting, only, proven
from mooring.observe.monitoring.rules import TABLE, name_of
from mooring.observe.monitoring.signals import PerMinute
from mooring.observe.monitoring.thresholds import Limit, Measure

GROUPS = sorted({measure.group for measure in TABLE})
# Against yesterday, or against an hour ago: `test_history.py` has these.
BY_HISTORY = {"TrafficSurge", "NetworkIn", "NetworkOut", "StorageGrowth", "UserUploads"}


def beside(limit: Limit, measure: Measure) -> tuple[float, float]:
    """Just inside of it, and just outside."""
    near, far = limit.value * 0.98, limit.value * 1.02
    if measure.op == "==":
        return 1, 0
    if measure.op == "<":
        return far, near
    return near, min(far, 100) if measure.unit == "%" else far


def begins(measure: Measure) -> float:
    """Minutes until it is outside: a rate is whole only when its window is full."""
    if measure.name == "DatabaseUnreachable":
        return 1.5
    return 4.5 if isinstance(measure.signal, PerMinute) else 0


def situations(measure: Measure, limit: Limit) -> list[Situation]:
    alert, lasts = name_of(measure, limit), limit.lasts / 60
    inside, outside = (at_level(measure, level) for level in beside(limit, measure))
    from_then = begins(measure) + lasts
    idle = [Series(one.name, one.first) for one in inside]
    return [
        Situation(f"{alert}: just inside", lasting(inside, from_then + 6)).silent(alert, from_then + 6),
        Situation(f"{alert}: outside", lasting(outside, from_then + 1))
        .silent(alert, from_then - 0.5)
        .fires(alert, from_then + 1),
        Situation(f"{alert}: without traffic", lasting(idle if measure.name != "CPUUsage" else [], from_then + 1))
        .silent(alert, from_then + 1),
        Situation(f"{alert}: without anything", lasting([IS_UP], from_then + 1)).silent(alert, from_then + 1),
        Situation(f"{alert}: gone", lasting([*outside, IS_UP], from_then + 1, gone=True))
        .fires(alert, from_then + 1)
        .silent(alert, from_then + 8),
    ]  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_every_alert_is_right_about_its_threshold_and_its_time(group: str, tmp_path: Path) -> None:
    measures = [one for one in TABLE if one.group == group and one.name not in BY_HISTORY | {"ServiceDown"}]
    parts = [
        (
            only(name_of(measure, limit) for limit in measure.limits),
            [situation for limit in measure.limits for situation in situations(measure, limit)],
        )
        for measure in measures
    ]
    if parts:
        proven(tmp_path, parts)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [("for", "0s"), ("for", "10m"), ("expr", ("> 5", "> 4.8")), ("expr", ("> 5", "> 5.2")), ("expr", ("> 5", "< 5"))],
)
def test_a_rule_that_is_a_little_off_is_noticed(part: str, wrong: str | tuple[str, str], tmp_path: Path) -> None:
    [measure] = [one for one in TABLE if one.name == "ErrorRate"]
    tree = only(["HighErrorRate"])
    [rule] = tree["groups"][0]["rules"]
    rule[part] = rule[part].replace(*wrong) if isinstance(wrong, tuple) else wrong
    with pytest.raises(AssertionError, match="FAILED"):
        proven(tmp_path, [(tree, situations(measure, measure.limits[1]))])
