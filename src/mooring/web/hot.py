"""Hot endpoints: read and answered by themselves, past the framework, and yet in its routes and its OpenAPI.

FastAPI's way from the middleware to a function and back costs more than all the rest of these calls."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mooring.web.errors import Envelope, answer_to
from mooring.web.shapes import Shape

Endpoint = Callable[[Request], Awaitable[Response]]
Method = Literal["GET", "POST"]

_NUMBER = re.compile(r"(?<=/)[0-9]+(?=/|\Z)")
_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class HotRoute:
    """GET: `asked` are its query and the numbers in its path, and without an `answer` it answers with an image. POST:
    `asked` is its body, and the answer is JSON."""

    method: Method
    path: str
    endpoint: Endpoint
    asked: type[BaseModel]
    answer: type[Shape] | None = None
    by: Literal["person", "storage"] = "person"
    answers: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)  # of a GET, for the OpenAPI

    @property
    def name(self) -> str:
        return getattr(self.endpoint, "__name__", self.path)

    @property
    def plain(self) -> Route:
        """For the framework: other methods at this address are 405, and what is no number is not valid."""
        return Route(self.path, self.endpoint, methods=[self.method], name=self.name)

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(self.path)


@dataclass(frozen=True)
class HotRoutes:
    tag: str
    routes: list[HotRoute] = field(default_factory=list)

    def post(
        self,
        path: str,
        *,
        body: type[BaseModel],
        answer: type[Shape],
        by: Literal["person", "storage"] = "person",
    ) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            self.routes.append(HotRoute("POST", path, endpoint, body, answer, by))
            return endpoint

        return add

    def get(
        self,
        path: str,
        *,
        query: type[BaseModel],
        answer: type[Shape] | None = None,
        answers: Mapping[int | str, dict[str, Any]] | None = None,
    ) -> Callable[[Endpoint], Endpoint]:
        """HEAD too."""

        def add(endpoint: Endpoint) -> Endpoint:
            self.routes.append(HotRoute("GET", path, endpoint, query, answer, answers=answers or IMAGE_ANSWERS))
            return endpoint

        return add

    def document(self, openapi: dict[str, Any]) -> None:
        """Write these routes into the OpenAPI, as FastAPI writes its own."""
        schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
        models: list[Any] = [(one.asked, "validation") for one in self.routes if one.method == "POST"]
        models += [(one.answer, "serialization") for one in self.routes if one.answer]
        described = [(model, mode, TypeAdapter(model)) for model, mode in models]
        _, defined = TypeAdapter.json_schemas(described, ref_template="#/components/schemas/{model}")
        schemas.update(defined.get("$defs", {}))
        for one in self.routes:
            if one.by == "storage":
                openapi["components"].setdefault("securitySchemes", {})["EventsSecret"] = EVENTS_SECRET
            openapi["paths"].setdefault(one.path, {})[one.method.lower()] = self._operation(one)

    def _operation(self, one: HotRoute) -> dict[str, Any]:
        return {
            "tags": [self.tag],
            "summary": one.name.replace("_", " ").capitalize(),
            "description": one.endpoint.__doc__ or "",
            "operationId": one.name,
            "security": [{"OAuth2PasswordBearer": []}] if one.by == "person" else [{"EventsSecret": []}],
            **(_posting(one) if one.method == "POST" else _getting(one)),
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

    def __init__(self, app: ASGIApp, hot: Sequence[HotRoutes]) -> None:
        self.app = app
        routes = [route for some in hot for route in some.routes]
        self.posts = {route.path: route for route in routes if route.method == "POST"}
        self.gets = {_PARAMETER.sub("0", route.path): route for route in routes if route.method == "GET"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route(scope) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route  # the metrics name requests by it
        request = HotRequest(scope, receive)
        try:
            response = await route.endpoint(request)
        except Exception as failure:
            response = await answer_to(request, failure)
        await response(scope, receive, send)

    def _route(self, scope: Scope) -> HotRoute | None:
        path = scope["path"]
        if scope["method"] == "POST":
            return self.posts.get(path)
        if scope["method"] not in ("GET", "HEAD"):
            return None
        route = self.gets.get(_NUMBER.sub("0", path))
        if route is not None:
            scope["path_params"] = dict(zip(route.parameters, _NUMBER.findall(path), strict=True))
        return route


def _posting(one: HotRoute) -> dict[str, Any]:
    return {
        "parameters": [IDEMPOTENCY_KEY] if one.by == "person" else [],
        "requestBody": {"required": True, "content": _content(one.asked)},
        "responses": _answers(one),
    }


def _getting(one: HotRoute) -> dict[str, Any]:
    schema = one.asked.model_json_schema()
    defined = schema.get("$defs", {})
    parameters = [
        {
            "name": name,
            "in": "path" if name in one.parameters else "query",
            "required": name in schema.get("required", ()),
            "schema": about | defined.get(about.pop("$ref", "").rpartition("/")[2], {}),
        }
        for name, about in schema["properties"].items()
    ]
    return {"parameters": parameters, "responses": _answers(one)}


def _answers(one: HotRoute) -> dict[int | str, dict[str, Any]]:
    if one.answer is None:
        return {**one.answers, "default": WENT_WRONG}
    return {"200": {"description": "Successful Response", "content": _content(one.answer)}, "default": WENT_WRONG}


def _content(model: type[Shape]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def file_answers(*media: str) -> dict[int | str, dict[str, Any]]:
    content = {one: {"schema": {"type": "string", "format": "binary"}} for one in media}
    return {
        "200": {"description": "The bytes", "content": content},
        "206": {"description": "The bytes that `Range` asked for", "content": content},
        "302": {"description": "Where the CDN has it"},
        "304": {"description": "As the client has it"},
        "416": {"description": "There are no such bytes"},
    }


IMAGE_ANSWERS = file_answers("image/*")
WENT_WRONG = {"description": "What went wrong", "content": _content(Envelope)}
EVENTS_SECRET = {"type": "http", "scheme": "bearer", "description": "MOORING_EVENTS_SECRET"}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key and body within 24 hours give the same answer.",
}
