"""How often somebody failed within a time: at a password, at a link.

The moments are kept, by what was tried and from which network. Who tries from everywhere costs no memory without end,
and no time either: beyond so many, newcomers are counted with their wider network, and in the end all together."""

import math
import time
from collections import deque
from collections.abc import Callable

from mooring.accounts.networks import client_id

MOST_KEPT = 10_000  # counted singly; so many again by their wider network
PURGED_EVERY = 1.0
OTHERS = ("others",)

Key = tuple[str, ...]  # the last of it is the network, if any of it is


class Failures:
    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.seconds = seconds
        self._time = clock
        self._moments: dict[Key, deque[float]] = {}
        self._purged_at = -math.inf

    def __len__(self) -> int:
        return len(self._moments)

    def wait(self, *key: str, most: int | None = None) -> int:
        """0: there may be one more. Else the seconds until then."""
        at = self._time()
        most = most or self.most
        moments = self._recent(self._counted_as(key, at), at)
        if len(moments) < most:
            return 0
        return max(1, math.ceil(moments[-most] + self.seconds - at))

    def count(self, *key: str) -> None:
        at = self._time()
        counted_as = self._counted_as(key, at)
        moments = self._recent(counted_as, at)
        if len(moments) < self.most:
            moments.append(at)
            self._moments[counted_as] = moments

    def forget(self, *key: str) -> None:
        """What was counted for it alone."""
        self._moments.pop(key, None)

    def take_back(self, *key: str) -> None:
        """The last was none; nor were those before it, where they were counted for it alone."""
        if self._moments.pop(key, None) is None:
            at = self._time()
            moments = self._recent(self._counted_as(key, at), at)
            if moments:
                moments.pop()

    def _counted_as(self, key: Key, at: float) -> Key:
        if key in self._moments or self._has_room(MOST_KEPT, at):
            return key
        wider = (client_id(key[-1]),)
        if wider in self._moments or self._has_room(2 * MOST_KEPT, at):
            return wider
        return OTHERS

    def _has_room(self, most: int, at: float) -> bool:
        if len(self._moments) >= most and at >= self._purged_at + PURGED_EVERY:
            self._purge(at)
        return len(self._moments) < most

    def _purge(self, at: float) -> None:
        self._purged_at = at
        self._moments = {key: kept for key, kept in self._moments.items() if kept and kept[-1] > at - self.seconds}

    def _recent(self, key: Key, at: float) -> deque[float]:
        moments = self._moments.get(key)
        if moments is None:
            return deque()
        while moments and moments[0] <= at - self.seconds:
            moments.popleft()
        return moments
