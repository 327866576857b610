"""Counters that cost next to nothing: a number in a dict, no lock, since one thread counts. They are read when somebody
looks. prometheus_client's own take 0.5 µs a count and 1 µs an observation; what every request passes counts with these.

And one that stays bounded: of those it counts for, the biggest have a series of their own."""

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

OTHER = "other"
MOST_KNOWN = 10_000  # whose totals are kept, so that who grows is noticed
Handed = tuple[Sequence[str], float]  # the labels, and how much


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
    """Counts for somebody, who is the last label. As many as `most` have series of their own, those with the highest
    totals; the rest share `other`. A series never counts what another one did, so that rates add up whoever comes and
    goes."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, most: int, registry: CollectorRegistry
    ) -> None:
        self.most = most
        self._is_shown = True
        self._before: dict[str, float] = {}  # what was counted for them while they had no series
        self._named: dict[str, dict[tuple[str, ...], float]] = {}  # by the other labels
        self._others: dict[tuple[str, ...], float] = {}
        super().__init__(name, documentation, labels, registry=registry)

    def inc(self, *labels: str, by: float = 1) -> None:
        self.count(labels[-1], labels[:-1], by)

    def count(self, who: str, others: tuple[str, ...] = (), by: float = 1) -> None:
        """The same, past the packing of labels: on the path of every confirm."""
        series = self._named.get(who)
        if series is None:
            series = self._admit(who, by)
        series[others] = series.get(others, 0.0) + by

    def _admit(self, who: str, by: float) -> dict[tuple[str, ...], float]:
        if len(self._named) < self.most:
            return self._named.setdefault(who, {})
        if len(self._before) >= MOST_KNOWN and who not in self._before:
            self._before = {one: self._before[one] for one in _largest(self._before, MOST_KNOWN // 2)}
        self._before[who] = self._before.get(who, 0.0) + by
        return self._others

    def rank_elsewhere(self) -> None:
        """From now on what is counted here is handed on to where that of several processes is ranked, and shown."""
        self.most = MOST_KNOWN
        self._is_shown = False

    def hand_on(self) -> list[Handed]:
        """What was counted since the last time; it is somebody else's from here on."""
        counted: list[Handed] = [((*others, OTHER), number) for others, number in self._others.items()]
        for who, series in self._named.items():
            counted += [((*others, who), number) for others, number in series.items()]
        self._named, self._others, self._before = {}, {}, {}
        return counted

    def take(self, counted: Iterable[Handed]) -> None:
        """What somebody hands on. The biggest first: while there is room for all, they get it."""
        for (*others, who), number in sorted(counted, key=lambda one: -one[1]):
            if who == OTHER:
                self._others[tuple(others)] = self._others.get(tuple(others), 0.0) + number
            else:
                self.count(who, tuple(others), number)

    def collect(self) -> Iterable[Metric]:
        if not self._is_shown:
            return []
        self._rank()
        self.values = {(*others, OTHER): number for others, number in self._others.items()}
        for who, series in self._named.items():
            self.values |= {(*others, who): number for others, number in series.items()}
        return super().collect()

    def _rank(self) -> None:
        """At each look, not at each count: who outgrew somebody takes their place. Of equals who has one keeps it."""
        if not self._before:
            return
        named = {who: self._before.get(who, 0.0) + sum(series.values()) for who, series in self._named.items()}
        waiting = {who: total for who, total in self._before.items() if who not in named}
        top = set(_largest(named | waiting, self.most))
        for gone in self._named.keys() - top:
            for others, number in self._named.pop(gone).items():  # what nobody has seen of it yet goes to the others
                unseen = number - self.values.get((*others, gone), 0.0)
                if unseen:
                    self._others[others] = self._others.get(others, 0.0) + unseen
            self._before[gone] = named[gone]
        for come in top - self._named.keys():
            self._named[come] = {}


def _largest(totals: dict[str, float], count: int) -> list[str]:
    return heapq.nlargest(count, totals, key=totals.__getitem__)


class Spread(Collector):
    """A histogram, and, where it has a name, the counter of the same things: they are counted once."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
        starts: Iterable[tuple[str, ...]] = (),
        counter: tuple[str, str] | None = None,
    ) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.documentation = documentation
        self.buckets = tuple(buckets)
        self.counter = counter
        self.values: dict[tuple[object, ...], list[float]] = {}
        for one in starts if labels else [()]:
            self.values[one] = self._empty()
        registry.register(self)

    def observe(self, value: float, *labels: object) -> None:
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = self._empty()
        found[bisect_left(self.buckets, value)] += 1
        found[-1] += value

    def _empty(self) -> list[float]:
        return [0.0] * (len(self.buckets) + 2)  # one above the last bound, and the sum

    def collect(self) -> Iterable[Metric]:
        histogram = Metric(self.name, self.documentation, "histogram")
        counter = Metric(self.counter[0].removesuffix("_total"), self.counter[1], "counter") if self.counter else None
        for labels, (*counts, total) in self.values.items():
            named = {name: str(label) for name, label in zip(self.labels, labels, strict=True)}
            below = 0.0
            for bound, count in zip((*self.buckets, inf), counts, strict=True):
                below += count
                histogram.add_sample(f"{self.name}_bucket", {**named, "le": _written(bound)}, below)
            histogram.add_sample(f"{self.name}_count", named, below)
            histogram.add_sample(f"{self.name}_sum", named, total)
            if counter and self.counter:
                counter.add_sample(self.counter[0], named, below)
        return [counter, histogram] if counter else [histogram]


def _written(bound: float) -> str:
    return "+Inf" if bound == inf else str(float(bound))
