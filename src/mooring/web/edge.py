"""What every request passes: who calls, a name for it, a limit to its body, its line in the metrics; CORS where a page
asks."""

import re
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mooring.observe.logs import request_id
from mooring.observe.metrics import Metrics
from mooring.web.proxies import Proxies

SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def header(scope: Scope, name: bytes) -> bytes | None:
    """A header of the request by its lower-case name; of several the last."""
    named: dict[bytes, bytes] = scope["headers_by_name"]
    return named.get(name)


class BodyTooLarge(HTTPException):
    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The body of this request may have at most {limit} bytes.")


class Cors(CORSMiddleware):
    """Costs only those requests that a browser sends for a page of another origin."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and header(scope, b"origin") is not None
        await (super().__call__ if asked else self.app)(scope, receive, send)


class Edge:
    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        max_body: int,
        streams: Callable[[str], bool],
        proxies: Proxies | None = None,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.max_body = max_body
        self.streams = streams  # paths whose body is a file, with limits of their own
        self.proxies = proxies
        self._prefix = token_hex(6)
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        began = scope["began"] = perf_counter()
        scope["headers_by_name"] = dict(scope["headers"])
        if self.proxies is not None:
            self.proxies.see_through(scope)
        name = self._name(scope)
        request_id.set(name)
        if scope["type"] == "websocket":  # a conversation: neither a request under way nor an answer to time
            await self.app(scope, receive, send)
            return
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", name.encode()))
            await send(message)

        try:
            await self.app(scope, self._bounded(scope, receive), sending)
        finally:
            if "user_id" in scope:
                self.metrics.signed_in -= 1
            route = scope.get("route")
            handler = getattr(route, "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            ended = scope.get("answered_at") or perf_counter()  # a stream is answered long before it ends
            self.metrics.answered(method, handler, status, ended - began)

    def _name(self, scope: Scope) -> str:
        """The caller's own name for the request, if it is a sane one."""
        given = header(scope, b"x-request-id")
        if given is not None and SANE_ID.fullmatch(given):
            return given.decode()
        return f"{self._prefix}-{next(self._numbers)}"

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """A body of declared length is judged when it is first asked for, another one while it comes."""
        declared = header(scope, b"content-length")
        length = int(declared) if declared is not None and declared.isdigit() else None
        if (length is not None and length <= self.max_body) or self.streams(scope["path"]):
            return receive
        came = 0

        async def receiving() -> Message:
            nonlocal came
            if length is not None:
                raise BodyTooLarge(self.max_body)
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.max_body:
                raise BodyTooLarge(self.max_body)
            return message

        return receiving
