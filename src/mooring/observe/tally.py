"""Counters that cost next to nothing: a number in a dict, no lock, since one thread counts. They are read when somebody
looks. prometheus_client's own take 0.5 µs a count and 1 µs an observation; what every request passes counts with these.

And the one that stays bounded: of those it counts for, the biggest have a series of their own."""

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

OTHER = "other"
MOST_KNOWN = 10_000  # whose totals are kept, so that who grows is noticed


class Tally(Collector):
    """A counter. `name` is the one that is exposed, to the letter."""

    type = "counter"

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        registry: CollectorRegistry,
        starts: Iterable[tuple[str, ...]] = (),
    ) -> None:
        """`starts`: series that are there, with 0, before anything is counted."""
        self.name = name
        self.labels = tuple(labels)
        self.documentation = documentation
        self.values: dict[tuple[str, ...], float] = dict.fromkeys(starts if labels else [()], 0.0)
        registry.register(self)

    def inc(self, *labels: str, by: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + by

    def collect(self) -> Iterable[Metric]:
        metric = Metric(self.name.removesuffix("_total"), self.documentation, self.type)
        for labels, number in self.values.items():
            metric.add_sample(self.name, dict(zip(self.labels, labels, strict=True)), number)
        return [metric]


class Ranked(Tally):
    """Counts for somebody, who is the last label. As many as `most` have a series of their own, those with the highest
    totals; the rest share `other`. A series never counts what another one did, so that rates add up whoever comes and
    goes."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, most: int, registry: CollectorRegistry
    ) -> None:
        self.most = most
        self._totals: dict[str, float] = {}
        self._named: set[str] = set()
        super().__init__(name, documentation, labels, registry=registry)

    def inc(self, *labels: str, by: float = 1) -> None:
        *others, who = labels
        if who not in self._totals and len(self._totals) >= MOST_KNOWN:
            self._forget()
        self._totals[who] = self._totals.get(who, 0.0) + by
        if who not in self._named:
            if len(self._named) < self.most:
                self._named.add(who)
            else:
                labels = (*others, OTHER)
        self.values[labels] = self.values.get(labels, 0.0) + by

    def collect(self) -> Iterable[Metric]:
        self._rank()
        return super().collect()

    def _rank(self) -> None:
        """At each look, not at each count: who outgrew somebody takes their place."""
        if len(self._totals) <= self.most:
            return
        top = set(self._largest(self.most))
        gone = self._named - top
        self.values = {labels: number for labels, number in self.values.items() if labels[-1] not in gone}
        self._named = top

    def _forget(self) -> None:
        self._totals = {who: self._totals[who] for who in {*self._largest(MOST_KNOWN // 2), *self._named}}

    def _largest(self, count: int) -> list[str]:
        return heapq.nlargest(count, self._totals, key=self._totals.__getitem__)


class Spread(Collector):
    """A histogram, and, where it has a name, the counter of the same things."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
        starts: Iterable[tuple[str, ...]] = (),
    ) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.documentation = documentation
        self.buckets = tuple(buckets)
        self.values: dict[tuple[str, ...], list[float]] = {}
        for one in starts if labels else [()]:
            self.values[one] = self._empty()
        registry.register(self)

    def observe(self, value: float, *labels: str) -> None:
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = self._empty()
        found[bisect_left(self.buckets, value)] += 1
        found[-1] += value

    def _empty(self) -> list[float]:
        return [0.0] * (len(self.buckets) + 2)  # one above the last bound, and the sum

    def collect(self) -> Iterable[Metric]:
        metric = Metric(self.name, self.documentation, "histogram")
        for labels, (*counts, total) in self.values.items():
            named = dict(zip(self.labels, labels, strict=True))
            below = 0.0
            for bound, count in zip((*self.buckets, inf), counts, strict=True):
                below += count
                metric.add_sample(f"{self.name}_bucket", {**named, "le": _written(bound)}, below)
            metric.add_sample(f"{self.name}_count", named, below)
            metric.add_sample(f"{self.name}_sum", named, total)
        return [metric]


def _written(bound: float) -> str:
    return "+Inf" if bound == inf else str(float(bound))
