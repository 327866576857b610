"""How fast the month's error budget burns. 99.9 % leaves 43 minutes a month; each alert asks a long window whether it
matters, and a short one whether it still goes on."""

from collections.abc import Sequence
from dataclasses import dataclass

from mooring.observe.monitoring.pace import DAY, HOUR, MINUTE, Pace
from mooring.observe.monitoring.service_thresholds import FAILED, SERVED
from mooring.observe.monitoring.signals import FEWEST
from mooring.observe.monitoring.thresholds import Severity

GOAL = 99.9
BUDGET = 1 - GOAL / 100


@dataclass(frozen=True, slots=True)
class Burn:
    alert: str
    severity: Severity
    times: float  # as fast as would use the budget up in exactly 30 days
    long: int
    short: int
    lasts: int

    @property
    def share(self) -> float:
        return round(self.times * BUDGET, 6)


BURNS: Sequence[Burn] = (
    Burn("ErrorBudgetBurnsInTwoDays", "critical", 14.4, HOUR, 5 * MINUTE, 2 * MINUTE),
    Burn("ErrorBudgetBurnsInFiveDays", "critical", 6, 6 * HOUR, 30 * MINUTE, 15 * MINUTE),
    Burn("ErrorBudgetBurnsInTenDays", "warning", 3, DAY, 2 * HOUR, HOUR),
    Burn("ErrorBudgetBurnsInAMonth", "warning", 1, 3 * DAY, 6 * HOUR, 3 * HOUR),
)
WINDOWS = sorted({window for burn in BURNS for window in (burn.long, burn.short)})


def recorded(window: int) -> str:
    """The name keeps life's window at any pace."""
    return f"mooring:request_errors:ratio_rate{Pace().span(window)}"


def ratio(window: int, pace: Pace) -> str:
    """Nothing without traffic; 0 where nothing ever failed."""
    span = pace.span(window)
    served = f"sum(rate({SERVED}[{span}]))"
    return f"(sum(rate({FAILED}[{span}])) or {served} * 0) / ({served} > 0)"


def expression(burn: Burn, pace: Pace) -> str:
    return (
        f"{recorded(burn.long)} > {burn.share:g}\nand\n{recorded(burn.short)} > {burn.share:g}\n"
        f"and\nsum(increase({FAILED}[{pace.span(burn.long)}])) >= {FEWEST}"
    )
