"""Rate limits: so many requests of one class from one address within a time; one more is 429 with `Retry-After`.

By address, not by user: the door stands before anybody is known; what a user may store is bounded by a quota."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from limits import RateLimitItem
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mooring.accounts.networks import client_id, network_of
from mooring.errors import TooManyRequests
from mooring.observe.metrics import Metrics
from mooring.web.errors import answer_to
from mooring.web.windows import Here

if TYPE_CHECKING:
    from mooring.web.shared_windows import Shared

READ, WRITE, AUTH, ISSUE, CONFIRM, UPLOAD, SHARE = "read", "write", "auth", "issue", "confirm", "upload", "share"
CLASSES = (AUTH, ISSUE, CONFIRM, UPLOAD, SHARE, READ, WRITE)

# The addresses most is asked of; None is never limited.
KNOWN: Mapping[str, str | None] = {
    "/photos/presigned-url": ISSUE,
    "/photos/presigned-url/batch": ISSUE,
    "/photos/confirm": CONFIRM,
    "/photos/confirm/batch": CONFIRM,
    "/uppy/capabilities": WRITE,
    "/api/videos/presigned-url": ISSUE,
    "/events/storage": None,  # a storage that is told to wait drops what it had to tell
    "/records/async/presigned-url": ISSUE,
    "/records/async": CONFIRM,
    "/health": None,
    "/health/live": None,
    "/metrics": None,
}
READING = ("GET", "HEAD", "OPTIONS")
FILES = ("/photos", "/photos/")
MOST_KEPT = 50_000


def class_of(method: str, path: str) -> str | None:
    if path in KNOWN:
        return KNOWN[path]
    if path.startswith("/share/"):
        return SHARE
    if path.startswith("/uppy/"):
        return _of_uppy(method, path)
    if method in READING:
        return READ
    if path.startswith("/auth/"):
        return AUTH
    if path in FILES or path.startswith("/storage/"):
        return UPLOAD
    return WRITE


def _of_uppy(method: str, path: str) -> str:
    """By what follows the capability: its URLs are issued, its files come, and end, like any others."""
    what = path.rpartition("/")[2]
    if method == "POST":
        return {"form": UPLOAD, "multipart": ISSUE}.get(what, CONFIRM)
    if method == "PUT":
        return UPLOAD
    return WRITE if method == "DELETE" else ISSUE


class LimitsDoor:
    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        limits: Mapping[str, RateLimitItem],
        store: str | None,
        routes: Iterable[BaseRoute],
    ) -> None:
        self.app = app
        # By which a refusal is counted. The others would have to be looked for, and a flood should not cost that.
        self.fixed = {path: one for one in routes if "{" not in (path := getattr(one, "path", "{"))}
        self.metrics = metrics
        self.here = Here(limits)
        self.shared = _shared(store, limits, metrics.rate_limit_store_errors.inc) if store else None
        self._clients: dict[str, str] = {}
        for name in CLASSES:
            metrics.rate_limit_requests.inc(name, "allowed", by=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = class_of(scope.get("method", "GET"), scope["path"]) if scope["type"] != "lifespan" else None
        if name is None:
            await self.app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else "unknown"
        client = self._clients.get(address) or self._client(address)
        wait = self.here.hit(name, client) if self.shared is None else await self.shared.hit(name, client)
        if wait:
            self.metrics.rate_limited(name, client_id(client))
            scope["route"] = self.fixed.get(scope["path"])
            response = await answer_to(HTTPConnection(scope), TooManyRequests(wait))
            await response(scope, receive, send)
            return
        self.metrics.rate_limit_requests.inc(name, "allowed")
        await self.app(scope, receive, send)

    async def close(self) -> None:
        if self.shared is not None:
            await self.shared.close()

    def _client(self, address: str) -> str:
        if len(self._clients) >= MOST_KEPT:
            self._clients.clear()
        self._clients[address] = network_of(address)
        return self._clients[address]


def _shared(store: str, limits: Mapping[str, RateLimitItem], on_error: Callable[[], None]) -> "Shared":
    from mooring.web.shared_windows import Shared  # six megabytes that only who shares has to pay

    return Shared(store, limits, on_error)
