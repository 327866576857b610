"""One POST to somebody else's server: bounded in time and bytes, to permitted addresses only, along no redirect."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import certifi
import httpcore

from mooring import __version__
from mooring.errors import WebhookUrlNotUsable
from mooring.notify.addresses import Guarded, Lookups, Resolve, Rules, parts_of

_FAILED = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError, ValueError)
SECONDS = 15.0  # for all of it: name, connection, answer


@dataclass(frozen=True, slots=True)
class Answered:
    """`status` is None where nothing sensible was answered; then `error` says why."""

    status: int | None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Posting:
    rules: Rules
    resolve: Resolve = field(default_factory=Lookups)
    authorities: str | None = None  # a file; else those that everybody trusts
    seconds: float = SECONDS

    @cached_property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authorities or certifi.where())

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answered:
        """`TooManyLookups`: it was not tried."""
        try:
            async with asyncio.timeout(self.seconds):
                return await self._post(url, headers, body)
        except WebhookUrlNotUsable as refused:
            return Answered(None, refused.message)
        except TimeoutError:
            return Answered(None, f"No answer within {self.seconds:g} seconds.")
        except _FAILED as failure:
            return Answered(None, f"{type(failure).__name__}: {failure}"[:300])

    async def _post(self, url: str, headers: Mapping[str, str], body: str) -> Answered:
        """A connection of its own: one that is kept would outlive the judgement of its address. Of the answer only the
        head is read, so that nobody can fill us."""
        _, _, is_tls = parts_of(url)
        said = [("Content-Type", "application/json"), ("User-Agent", f"Mooring/{__version__}"), *headers.items()]
        guarded = Guarded(self.rules, is_tls, self.resolve, httpcore.AnyIOBackend())
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self.tls, network_backend=guarded, max_connections=1) as pool,
            pool.stream("POST", url, headers=said, content=body.encode()) as response,
        ):
            answered = {name.lower(): value for name, value in response.headers}
            return Answered(response.status, _error(response.status), _retry_after(answered.get(b"retry-after", b"")))


def _error(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return "It answered with a redirect, and none is followed." if 300 <= status < 400 else f"It answered {status}."


def _retry_after(value: bytes) -> timedelta | None:
    return timedelta(seconds=int(value)) if value.isdigit() and len(value) < 7 else None
