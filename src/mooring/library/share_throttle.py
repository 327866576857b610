"""Guessing share links and their passwords is slow, and nobody who holds a link is locked out by those who guess."""

import time
from collections.abc import Callable

from mooring.accounts.failures import Failures
from mooring.accounts.networks import network_of
from mooring.errors import TooManyAttempts, TooManyGuesses

SECONDS = 300.0
BESIEGED = 2  # tries from one network then


class ShareThrottle:
    """Counts failures only. Whoever shows a viewing pass is not asked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.of_tokens = Failures(30, 60.0, clock)
        self.of_password = Failures(10, SECONDS, clock)
        # A link that many addresses guess at: each has fewer tries then, but one that is new there always has some.
        self.of_link = Failures(100, SECONDS, clock)

    def check_tokens(self, address: str) -> None:
        if wait := self.of_tokens.wait(network_of(address)):
            raise TooManyGuesses(wait)

    def unknown_token(self, address: str) -> None:
        """Of a thousand sent at once, too, only so many are told that there is no such link."""
        self.check_tokens(address)
        self.of_tokens.count(network_of(address))

    def try_password(self, link_id: int, address: str) -> None:
        """Counted before it is known to be wrong: two that are checked at the same time are two."""
        key = _here(link_id, address)
        is_besieged = self.of_link.wait(str(link_id)) > 0
        if wait := self.of_password.wait(*key, most=BESIEGED if is_besieged else None):
            raise TooManyAttempts(wait)
        self.of_password.count(*key)

    def wrong_password(self, link_id: int) -> None:
        self.of_link.count(str(link_id))

    def right_password(self, link_id: int, address: str) -> None:
        self.of_password.take_back(*_here(link_id, address))


def _here(link_id: int, address: str) -> tuple[str, str]:
    return str(link_id), network_of(address)
