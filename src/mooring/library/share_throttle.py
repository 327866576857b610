"""Guessing share links and their passwords is slow, and nobody who holds a link is locked out by those who guess."""

from dataclasses import dataclass, field

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from mooring.accounts.throttle import drop_empty, network_of, seconds_to_wait
from mooring.errors import TooManyAttempts, TooManyGuesses


@dataclass(frozen=True, slots=True)
class ShareThrottle:
    """Counts failures only. Whoever shows a viewing pass is not asked."""

    of_tokens: RateLimitItem = field(default_factory=lambda: RateLimitItemPerMinute(30))
    of_password: RateLimitItem = field(default_factory=lambda: RateLimitItemPerMinute(10, 5))
    # A link that many addresses guess at: each has fewer tries then, but one that is new there always has some.
    of_link: RateLimitItem = field(default_factory=lambda: RateLimitItemPerMinute(100, 5))
    of_password_besieged: RateLimitItem = field(default_factory=lambda: RateLimitItemPerMinute(2, 5))
    kept: MemoryStorage = field(default_factory=MemoryStorage)

    def check_tokens(self, address: str) -> None:
        key = ("token", network_of(address))
        if not self._window.test(self.of_tokens, *key):
            raise TooManyGuesses(seconds_to_wait(self._window, self.of_tokens, *key))

    def unknown_token(self, address: str) -> None:
        """Of a thousand sent at once, too, only so many are told that there is no such link."""
        drop_empty(self.kept)
        key = ("token", network_of(address))
        if not self._window.hit(self.of_tokens, *key):
            raise TooManyGuesses(seconds_to_wait(self._window, self.of_tokens, *key))

    def try_password(self, link_id: int, address: str) -> None:
        """Counted before it is known to be wrong: two that are checked at the same time are two."""
        drop_empty(self.kept)
        besieged = not self._window.test(self.of_link, "link", str(link_id))
        limit = self.of_password_besieged if besieged else self.of_password
        key = _here(link_id, address)
        if not self._window.test(limit, *key):
            raise TooManyAttempts(seconds_to_wait(self._window, limit, *key))
        for counted in (self.of_password, self.of_password_besieged):
            self._window.hit(counted, *key)

    def wrong_password(self, link_id: int) -> None:
        self._window.hit(self.of_link, "link", str(link_id))

    def right_password(self, link_id: int, address: str) -> None:
        for limit in (self.of_password, self.of_password_besieged):
            self._window.clear(limit, *_here(link_id, address))

    @property
    def _window(self) -> MovingWindowRateLimiter:
        return MovingWindowRateLimiter(self.kept)


def _here(link_id: int, address: str) -> tuple[str, ...]:
    return "password", str(link_id), network_of(address)
