"""How often somebody came within a time, counted in this process. `shared_windows` counts for several.

A sliding window made of two: the requests of this one, and of the one before as many as still lie within the time, as
if they had come evenly. So nobody gets twice the limit at the turn of a minute, and a client costs one number."""

import math
import time
from collections.abc import Callable, Mapping

from limits import RateLimitItem

MOST_CLIENTS = 50_000  # counted singly, of one class within one window; who comes after them shares one count
OTHERS = "others"


class Window:
    __slots__ = ("_before", "_ends", "_now", "_time", "amount", "seconds")

    def __init__(self, limit: RateLimitItem, clock: Callable[[], float] = time.monotonic) -> None:
        self.amount = limit.amount
        self.seconds = limit.get_expiry()
        self._time = clock
        self._ends = clock() + self.seconds
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def hit(self, client: str) -> int:
        """0: come in. Else the seconds to wait; then it was not counted."""
        at = self._time()
        if at >= self._ends:
            self._turn(at)
        count = self._now.get(client)
        if count is None:
            if len(self._now) >= MOST_CLIENTS:
                client = OTHERS
            count = self._now.get(client, 0)
        before = self._before.get(client, 0) if self._before else 0
        if count + before * (self._ends - at) / self.seconds + 1 > self.amount:
            return self._wait(count, before, self._ends - at)
        self._now[client] = count + 1
        return 0

    def _turn(self, at: float) -> None:
        passed = 1 + int((at - self._ends) / self.seconds)
        self._before = self._now if passed == 1 else {}
        self._now = {}
        self._ends += passed * self.seconds

    def _wait(self, count: int, before: int, left: float) -> int:
        """Until there is room for one more: enough of the window before has gone by, or of this one in the next."""
        room = self.amount - 1 - count
        if before and room >= 0:
            return max(1, math.ceil(left - room * self.seconds / before))
        return max(1, math.ceil(left + self.seconds * (1 - (self.amount - 1) / max(1, count))))


class Here:
    """The counts of this process alone."""

    def __init__(self, limits: Mapping[str, RateLimitItem]) -> None:
        self.windows = {name: Window(limit) for name, limit in limits.items()}

    def hit(self, name: str, client: str) -> int:
        return self.windows[name].hit(client)
