"""Hot endpoints: read and answered by themselves, past the framework, and yet in its routes and its OpenAPI.

FastAPI's way from the middleware to a function and back costs more than all the rest of these calls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mooring.web.errors import Envelope, answer_to

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HotRoute:
    path: str
    endpoint: Endpoint
    body: type[BaseModel]
    answer: type[BaseModel]

    @property
    def name(self) -> str:
        return getattr(self.endpoint, "__name__", self.path)

    @property
    def plain(self) -> Route:
        """For the framework: other methods at this address are 405."""
        return Route(self.path, self.endpoint, methods=["POST"], name=self.name)


@dataclass(frozen=True)
class HotRoutes:
    tag: str
    routes: dict[str, HotRoute] = field(default_factory=dict)

    def post(self, path: str, *, body: type[BaseModel], answer: type[BaseModel]) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            self.routes[path] = HotRoute(path, endpoint, body, answer)
            return endpoint

        return add

    def document(self, openapi: dict[str, Any]) -> None:
        """Write these routes into the OpenAPI, as FastAPI writes its own."""
        schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
        models: list[Any] = [(one.body, "validation") for one in self.routes.values()]
        models += [(one.answer, "serialization") for one in self.routes.values()]
        _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")
        schemas.update(defined["$defs"])
        for one in self.routes.values():
            openapi["paths"].setdefault(one.path, {})["post"] = self._operation(one)

    def _operation(self, one: HotRoute) -> dict[str, Any]:
        return {
            "tags": [self.tag],
            "summary": one.name.replace("_", " ").capitalize(),
            "description": one.endpoint.__doc__ or "",
            "operationId": one.name,
            "security": [{"OAuth2PasswordBearer": []}],
            "parameters": [IDEMPOTENCY_KEY],
            "requestBody": {"required": True, "content": _content(one.body)},
            "responses": {
                "200": {"description": "Successful Response", "content": _content(one.answer)},
                "default": {"description": "What went wrong", "content": _content(Envelope)},
            },
        }


class HotRequest(Request):
    async def body(self) -> bytes:
        """Without the generator that Starlette streams a body through: a small one comes in one message."""
        if not hasattr(self, "_body"):
            pieces, more = [], True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                pieces.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(pieces)
        return self._body


class HotDoor:
    """The way in that is tried first."""

    def __init__(self, app: ASGIApp, hot: HotRoutes) -> None:
        self.app = app
        self.routes = hot.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes.get(scope.get("path", ""))
        if route is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        scope["route"] = route  # the metrics name requests by it
        request = HotRequest(scope, receive)
        try:
            response = await route.endpoint(request)
        except Exception as failure:
            response = await answer_to(request, failure)
        await response(scope, receive, send)


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key and body within 24 hours give the same answer.",
}
