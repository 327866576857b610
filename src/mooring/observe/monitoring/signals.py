"""What a rule looks at: a number made of metrics, and whether there is enough behind it to judge by.

A share or a quantile of three requests says nothing about a service: one failure in a quiet night is 33 %. And of no
requests at all it is 0/0. So both are judged only from `FEWEST` events in their window on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mooring.observe.monitoring.pace import DAY, HOUR, MINUTE, SECOND, Pace

WINDOW = 5 * MINUTE
FEWEST = 10

_SPAN = re.compile(r"\b(\d+)([smhd])\b")
_SECONDS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


class Signal(Protocol):
    def value(self, pace: Pace) -> str:
        """The number that is held against the thresholds."""

    def enough(self, pace: Pace) -> str | None:
        """What must hold besides; None where any number will do."""


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge. `of` says how several instances make one number; without it each is judged by itself."""

    metric: str
    of: str = ""

    def value(self, pace: Pace) -> str:
        return f"{self.of}({self.metric})" if self.of else self.metric

    def enough(self, pace: Pace) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class PerMinute:
    """How often a counter counts, over all instances."""

    counter: str
    by: Sequence[str] = ()

    def value(self, pace: Pace) -> str:
        return f"{summed(self.by)}(rate({self.counter}[{pace.span(WINDOW)}])) * 60"

    def enough(self, pace: Pace) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class Share:
    """Percent of `of` that are `bad`; or that are not, where the guide counts the good ones."""

    bad: str
    of: str
    by: Sequence[str] = ()
    counts_good: bool = False
    fewest: int = FEWEST

    def value(self, pace: Pace) -> str:
        window, sums = pace.span(WINDOW), summed(self.by)
        share = f"{sums}(rate({self.bad}[{window}])) / {sums}(rate({self.of}[{window}])) * 100"
        return f"100 - {share}" if self.counts_good else share

    def enough(self, pace: Pace) -> str | None:
        return f"{summed(self.by)}(increase({self.of}[{pace.span(WINDOW)}])) >= {self.fewest}"


@dataclass(frozen=True, slots=True)
class Quantile:
    """Seconds within which this part of the observations was over. `histogram` ends in no _bucket."""

    histogram: str
    labels: str = ""
    quantile: float = 0.95
    by: Sequence[str] = ()

    def value(self, pace: Pace) -> str:
        rates = f"rate({self.histogram}_bucket{self.labels}[{pace.span(WINDOW)}])"
        return f"histogram_quantile({self.quantile:.2f}, {summed(('le', *self.by))}({rates}))"

    def enough(self, pace: Pace) -> str | None:
        counted = f"increase({self.histogram}_count{self.labels}[{pace.span(WINDOW)}])"
        return f"{summed(self.by)}({counted}) >= {FEWEST}"


@dataclass(frozen=True, slots=True)
class Written:
    """An expression of its own, with the spans of life in it."""

    text: str
    if_also: str | None = None

    def value(self, pace: Pace) -> str:
        return paced(self.text, pace)

    def enough(self, pace: Pace) -> str | None:
        return paced(self.if_also, pace) if self.if_also else None


def summed(by: Sequence[str]) -> str:
    return f"sum by ({', '.join(by)}) " if by else "sum"


def paced(text: str, pace: Pace) -> str:
    return _SPAN.sub(lambda found: pace.span(int(found[1]) * _SECONDS[found[2]]), text)
