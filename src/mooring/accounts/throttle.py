"""Guessing passwords is slow: so many failures in five minutes, then wait."""

import math
import time
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from mooring.errors import TooManyAttempts

MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class LoginThrottle:
    """Counts failures only, and by address: nobody can lock an account's owner out from elsewhere."""

    of_email_here: RateLimitItem = field(default_factory=lambda: RateLimitItemPerMinute(10, 5))
    of_address: RateLimitItem = field(default_factory=lambda: RateLimitItemPerMinute(100, 5))
    kept: MemoryStorage = field(default_factory=MemoryStorage)

    def check(self, email: str, address: str) -> None:
        window = MovingWindowRateLimiter(self.kept)
        for limit, key in self._limits(email, address):
            if not window.test(limit, *key):
                raise TooManyAttempts(seconds_to_wait(window, limit, *key))

    def failed(self, email: str, address: str) -> None:
        drop_empty(self.kept)
        for limit, key in self._limits(email, address):
            MovingWindowRateLimiter(self.kept).hit(limit, *key)

    def succeeded(self, email: str, address: str) -> None:
        limit, key = self._limits(email, address)[0]
        MovingWindowRateLimiter(self.kept).clear(limit, *key)

    def _limits(self, email: str, address: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        network = network_of(address)
        return [
            (self.of_email_here, ("email", email.lower(), network)),
            (self.of_address, ("address", network)),
        ]


def seconds_to_wait(window: MovingWindowRateLimiter, limit: RateLimitItem, *key: str) -> int:
    reset_at = window.get_window_stats(limit, *key).reset_time
    return max(1, math.ceil(reset_at - time.time()))


def drop_empty(kept: MemoryStorage) -> None:
    """`limits` empties what lapsed but keeps its key for ever: made-up names would fill the memory."""
    if len(kept.events) < MOST_KEPT:
        return
    for key in [key for key, events in kept.events.items() if not events]:
        del kept.events[key]


def network_of(address: str) -> str:
    """An IPv6 client owns at least a /64: counted singly, its addresses never run out."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


def client_id(address: str) -> str:
    """A part of the address, for a label: enough to see that it is one guesser."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
