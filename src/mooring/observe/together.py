"""What several server processes counted that none of them shows: kept by the one that started them."""

from collections.abc import Iterable, Mapping
from typing import Any

from mooring.observe.exposition import families_of, joined
from mooring.observe.frames import packed, unpacked
from mooring.observe.metrics import Metrics
from mooring.observe.tally import Handed


class Together:
    def __init__(self, most: int) -> None:
        self._ranked = Metrics(most).ranked
        self._ended: list[Any] = []  # what those counted that are no more

    def rank(self, handed: Mapping[str, Iterable[Handed]]) -> None:
        """What one of them counted, by user and by client, since it last said so."""
        for name, counted in handed.items():
            self._ranked[name].take(counted)

    def keep(self, families: Iterable[Any]) -> None:
        """Of one that is no more, what it last said."""
        counted = [one for one in unpacked(families) if one.type != "gauge"]
        self._ended = packed(joined([unpacked(self._ended), counted]))

    def besides(self) -> list[list[Any]]:
        """To be joined with what those say that are there."""
        ranked = [family for one in self._ranked.values() for family in families_of(one)]
        return [self._ended, packed(ranked)]
