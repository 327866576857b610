"""Hot endpoints: plain Starlette routes that read and write JSON themselves, yet stand in the OpenAPI like the others.

FastAPI's own handling of a body and an answer costs more than all the rest of these calls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from mooring.web.errors import Envelope

Endpoint = Callable[[Request], Awaitable[Response]]


class HotRoute(Route):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        child["route"] = self  # the metrics name requests by it, as by FastAPI's own
        return match, child


@dataclass(frozen=True, slots=True)
class Described:
    path: str
    name: str
    body: type[BaseModel]
    answer: type[BaseModel]
    summary: str


@dataclass(frozen=True)
class HotRoutes:
    tag: str
    routes: list[HotRoute] = field(default_factory=list)
    described: list[Described] = field(default_factory=list)

    def post(
        self, path: str, *, body: type[BaseModel], answer: type[BaseModel]
    ) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            name = getattr(endpoint, "__name__", path)
            self.routes.append(HotRoute(path, endpoint, methods=["POST"], name=name))
            self.described.append(Described(path, name, body, answer, (endpoint.__doc__ or "").strip()))
            return endpoint

        return add

    def document(self, openapi: dict[str, Any]) -> None:
        """Write these routes into the OpenAPI, as FastAPI writes its own."""
        schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
        models = [(one.body, "validation") for one in self.described]
        models += [(one.answer, "serialization") for one in self.described]
        _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        schemas.update(defined["$defs"])
        for one in self.described:
            openapi["paths"].setdefault(one.path, {})["post"] = self._operation(one)

    def _operation(self, one: Described) -> dict[str, Any]:
        def content(model: type[BaseModel]) -> dict[str, Any]:
            return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}

        return {
            "tags": [self.tag],
            "summary": one.name.replace("_", " ").capitalize(),
            "description": one.summary,
            "operationId": one.name,
            "security": [{"OAuth2PasswordBearer": []}],
            "parameters": [IDEMPOTENCY_KEY],
            "requestBody": {"required": True, "content": content(one.body)},
            "responses": {
                "200": {"description": "Successful Response", "content": content(one.answer)},
                "default": {"description": "What went wrong", "content": content(Envelope)},
            },
        }


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key and body within 24 hours give the same answer.",
}
