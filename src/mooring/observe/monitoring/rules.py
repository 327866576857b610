"""The table as Prometheus' rules: groups of alerts, and of recorded ratios for the burn rates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mooring.observe.monitoring import burn
from mooring.observe.monitoring.burn import BURNS, Burn
from mooring.observe.monitoring.business_thresholds import BUSINESS, GROWTH, RECORDS
from mooring.observe.monitoring.pace import LIFE, SECOND, Pace
from mooring.observe.monitoring.resource_thresholds import RESOURCES
from mooring.observe.monitoring.security_thresholds import SECURITY
from mooring.observe.monitoring.service_thresholds import AVAILABILITY, PERFORMANCE, STABILITY
from mooring.observe.monitoring.thresholds import Limit, Measure

TABLE: Sequence[Measure] = (
    *AVAILABILITY, *PERFORMANCE, *STABILITY, *SECURITY, *RESOURCES, *BUSINESS, *GROWTH, *RECORDS,
)  # fmt: skip
RUNBOOKS = "docs/how-to/runbooks"
EVALUATED_EVERY = 30 * SECOND
LONG_WINDOWS_EVERY = 60 * SECOND
OBJECTIVES = "objectives"


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert, as it is written."""

    name: str
    group: str
    severity: str
    subject: str
    expression: str
    lasts: int
    summary: str
    description: str
    guide: str
    why: str | None

    def annotations(self, runbooks: str = RUNBOOKS) -> dict[str, str]:
        where = f"{runbooks.rstrip('/')}/{self.group}.md#{self.subject.lower()}"
        return {"summary": self.summary, "description": self.description, "guide": self.guide, "runbook_url": where}


def rules(pace: Pace = LIFE) -> list[Rule]:
    of_table = [_rule(measure, limit, pace) for measure in TABLE for limit in measure.limits]
    return [*of_table, *(_burning(one, pace) for one in BURNS)]


def rule_files(pace: Pace = LIFE, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """By the file's name, what is in it. A list's `#` is a comment before the rule."""
    by_group = sorted(rules(pace), key=lambda rule: rule.group)
    files: dict[str, Any] = {}
    for name, members in groupby(by_group, key=lambda rule: rule.group):
        group = {"name": f"photo_api_{name}", "interval": pace.span(EVALUATED_EVERY)}
        files[f"{name}.yml"] = {"groups": [{**group, "rules": [_written(rule, pace, runbooks) for rule in members]}]}
    recording = {"name": "mooring_ratios", "interval": pace.span(LONG_WINDOWS_EVERY), "rules": list(_recording(pace))}
    files[f"{OBJECTIVES}.yml"]["groups"].insert(0, recording)
    return files


def name_of(measure: Measure, limit: Limit) -> str:
    return limit.alert or f"{measure.name}{limit.severity.title()}"


def expression(measure: Measure, limit: Limit, pace: Pace) -> str:
    value = measure.signal.value(pace)
    if " or " in value:
        value = f"({value})"
    compared = f"{value} {measure.op} {limit.value:.15g}"
    enough = measure.signal.enough(pace)
    return f"{compared}\nand\n{enough}" if enough else compared


def _rule(measure: Measure, limit: Limit, pace: Pace) -> Rule:
    which = "".join(f", {label} {{{{ $labels.{label} }}}}" for label in measure.by)
    value = "{{ $value | humanize1024 }}B" if measure.unit == "bytes" else f"{{{{ $value | humanize }}}} {measure.unit}"
    limited = f"{_bound(measure.op)} {_amount(limit.value, measure.unit)} for {LIFE.span(limit.lasts)}"
    summary = f"{measure.what}: {limited}"
    description = f"{measure.what}: {value.strip()}{which}. The limit: {limited}."
    if measure.op == "==":  # what is wrong has no size
        summary, description = f"{measure.what} for {LIFE.span(limit.lasts)}", f"{measure.what}{which}."
    return Rule(
        name=name_of(measure, limit),
        group=measure.group,
        severity=limit.severity,
        subject=measure.subject or measure.name,
        expression=expression(measure, limit, pace),
        lasts=limit.lasts,
        summary=summary,
        description=description,
        guide=measure.guide,
        why=measure.why,
    )


def _burning(one: Burn, pace: Pace) -> Rule:
    failed = f"{{{{ $value | humanizePercentage }}}} of the requests of the last {LIFE.span(one.long)} failed"
    return Rule(
        name=one.alert,
        group=OBJECTIVES,
        severity=one.severity,
        subject="ErrorBudget",
        expression=burn.expression(one, pace),
        lasts=one.lasts,
        summary=f"At this rate a month uses its error budget up {one.times:g} times over",
        description=f"{failed}; the goal of {burn.GOAL:g} % allows {burn.BUDGET:.1%}, and this alert {one.share:.2%}.",
        guide="guide 002, availability of 99.9 %",
        why="The long window says that it matters, the short one that it still goes on. From ten failures on.",
    )


def _written(rule: Rule, pace: Pace, runbooks: str) -> dict[str, Any]:
    comment = {"#": rule.why} if rule.why else {}
    return {
        **comment,
        "alert": rule.name,
        "expr": rule.expression,
        "for": pace.span(rule.lasts),
        "labels": {"severity": rule.severity, "subject": rule.subject},
        "annotations": rule.annotations(runbooks),
    }


def _recording(pace: Pace) -> Iterator[dict[str, Any]]:
    for window in burn.WINDOWS:
        yield {"record": burn.recorded(window), "expr": burn.ratio(window, pace)}


def _bound(op: str) -> str:
    return {">": "over", ">=": "at least", "<": "under"}.get(op, "")


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e9:g} GB" if value >= 1e9 else f"{value / 1e6:g} MB"
    return f"{value:g} {unit}".strip()
