"""Guessing passwords is slow: so many failures in five minutes, then wait."""

import time
from collections.abc import Callable

from mooring.accounts.failures import Failures
from mooring.accounts.networks import network_of
from mooring.errors import TooManyAttempts

SECONDS = 300.0


class LoginThrottle:
    """Counts failures only, and by address: nobody can lock an account's owner out from elsewhere."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.of_email_here = Failures(10, SECONDS, clock)
        self.of_address = Failures(100, SECONDS, clock)

    def check(self, email: str, address: str) -> None:
        network = network_of(address)
        wait = self.of_email_here.wait(email.lower(), network) or self.of_address.wait(network)
        if wait:
            raise TooManyAttempts(wait)

    def failed(self, email: str, address: str) -> None:
        network = network_of(address)
        self.of_email_here.count(email.lower(), network)
        self.of_address.count(network)

    def succeeded(self, email: str, address: str) -> None:
        self.of_email_here.forget(email.lower(), network_of(address))
