"""One table of every threshold: what is measured, from where on somebody is told, and after how long.

The numbers are those of the monitoring guide. Where a limit coincides with one of the guide's fifteen named rules it
has that rule's name. Where a rule as the guide writes it would misfire, `why` says what is done instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mooring.observe.monitoring.pace import MINUTE
from mooring.observe.monitoring.signals import Signal

Severity = Literal["warning", "critical"]
Group = Literal["availability", "performance", "stability", "security", "resources", "business", "growth", "records"]
Unit = Literal["", "%", "s", "/min", "bytes", "times the usual"]
Op = Literal[">", ">=", "<", "=="]


@dataclass(frozen=True, slots=True)
class Limit:
    severity: Severity
    value: float
    lasts: int
    alert: str | None = None  # the guide's name for it, where it has one


@dataclass(frozen=True, slots=True)
class Measure:
    name: str  # an alert without a name of the guide's is this and its severity
    group: Group
    guide: str
    what: str
    signal: Signal
    limits: Sequence[Limit]
    unit: Unit = ""
    op: Op = ">"
    by: Sequence[str] = ()  # labels that say which one it is
    subject: str | None = None  # of several measures of the same thing: its name in runbooks and inhibition
    why: str | None = None


def warning(value: float, lasts: int = 5 * MINUTE, alert: str | None = None) -> Limit:
    return Limit("warning", value, lasts, alert)


def critical(value: float, lasts: int = 2 * MINUTE, alert: str | None = None) -> Limit:
    return Limit("critical", value, lasts, alert)
