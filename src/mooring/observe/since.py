"""What was counted since the last time, to be added to what somebody else shows."""

from typing import Any

from mooring.observe.exposition import Family, joined
from mooring.observe.frames import packed, unpacked
from mooring.observe.metrics import Metrics


class Since:
    """Counters and histograms alone; and only those that counted something, but these whole."""

    def __init__(self, metrics: Metrics) -> None:
        metrics.rank_elsewhere()
        self._metrics = metrics
        self._before = self._counted()
        self._families: list[Family] = []
        self._ranked: dict[str, list[Any]] = {}

    def told(self) -> dict[str, Any] | None:
        """As JSON has it. Until it is `settled` it is told again, with what came since."""
        now = self._counted()
        grown = [_grown(family, self._before.get(name)) for name, family in now.items()]
        self._before = now
        self._families = joined([self._families, (family for family in grown if any(family.samples.values()))])
        for name, counted in self._metrics.hand_on().items():
            self._ranked.setdefault(name, []).extend(counted)
        if not self._families and not self._ranked:
            return None
        return {"families": packed(self._families), "ranked": self._ranked}

    def settled(self) -> None:
        self._families, self._ranked = [], {}

    def _counted(self) -> dict[str, Family]:
        return {one.name: one for one in self._metrics.families() if one.type != "gauge"}


def add(told: dict[str, Any], metrics: Metrics) -> None:
    """What somebody counted elsewhere is shown here from now on."""
    metrics.elsewhere = joined([metrics.elsewhere, unpacked(told["families"])])
    for name, counted in told["ranked"].items():
        if name in metrics.ranked:  # of another version, perhaps
            metrics.ranked[name].take(counted)


def _grown(now: Family, before: Family | None) -> Family:
    known = before.samples if before else {}
    samples = {sample: number - known.get(sample, 0.0) for sample, number in now.samples.items()}
    return Family(now.name, now.type, now.documentation, samples)
