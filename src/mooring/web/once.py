"""The header `Idempotency-Key`, on every call that issues, confirms or creates."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, TypeVar

from fastapi import Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from mooring.accounts.callers import Caller
from mooring.db.idempotency import Answer, Key
from mooring.db.pool import Executor
from mooring.errors import KeyNotUsable
from mooring.web.edge import header
from mooring.web.shapes import Ready, Shape, json_of, reply

Begun = TypeVar("Begun", bound=BaseModel)
Shown = TypeVar("Shown", bound=Shape)

# Only for the OpenAPI of routes that FastAPI reads: `create_once` takes the header from the request, and judges it.
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", json_schema_extra={"minLength": 1, "maxLength": 255})
]


async def create_once(
    request: Request,
    caller: Caller,
    create: Callable[[Executor | None], Awaitable[Shape]],
    *,
    status: int = 200,
    content: bytes | None = None,
    seal: bytes = b"",
) -> Response:
    """`create` gets the transaction that the key is recorded in, or None where there is no key. `content`: what was
    sent, where the body itself is no longer there. `seal`: a secret, for bodies with a password in them, that nobody
    may guess by the fingerprint that is kept."""
    key = await _key_of(request, caller, content, seal)
    if key is None:
        return reply(await create(None), status)

    async def kept(tx: Executor) -> Answer:
        return _answer(await create(tx), status)

    answer = await request.app.state.house.idempotency.create_once(key, kept)
    return _response(answer)


async def create_and_finish(
    request: Request,
    caller: Caller,
    create: Callable[[Executor | None], Awaitable[Begun]],
    finish: Callable[[Begun], Awaitable[Shown]],
    shape: type[Begun],
) -> Response:
    """For what goes on after it was created: `finish` waits for it, with no transaction open."""
    key = await _key_of(request, caller)
    if key is None:
        return reply(await finish(await create(None)))

    async def begun(tx: Executor) -> Answer:
        return replace(_answer(await create(tx), 200), is_final=False)

    async def finished(answer: Answer) -> Answer:
        return _answer(await finish(shape.model_validate_json(answer.body)), 200)

    return _response(await request.app.state.house.idempotency.create_and_finish(key, begun, finished))


async def answer_once(
    request: Request,
    caller: Caller,
    act: Callable[[], Awaitable[Shown]],
    is_final: Callable[[Shown], bool] = lambda _: True,
) -> Response:
    """Only an answer that is final is kept for the key."""
    key = await _key_of(request, caller)
    if key is None:
        return reply(await act())

    async def kept() -> Answer:
        shown = await act()
        return replace(_answer(shown, 200), is_final=is_final(shown))

    return _response(await request.app.state.house.idempotency.answer_once(key, kept))


async def was_answered(request: Request, caller: Caller) -> bool:
    """Whether its key has an answer already. What would refuse it now says nothing then: it is only asked again."""
    given = header(request.scope, b"idempotency-key")
    if given is None:
        return False
    known: bool = await request.app.state.house.idempotency.has_answer(caller.user_id, given.decode("latin-1"))
    return known


async def _key_of(request: Request, caller: Caller, content: bytes | None = None, seal: bytes = b"") -> Key | None:
    given = header(request.scope, b"idempotency-key")
    if given is None:
        return None
    if not 1 <= len(given) <= 255:
        raise KeyNotUsable
    content = await request.body() if content is None else content
    what = request.method.encode() + b" " + request.scope["path"].encode() + b"\n" + content
    return Key(caller.user_id, given.decode("latin-1"), sha256(seal + what).digest())


def _answer(shown: Shape, status: int) -> Answer:
    return Answer(status, json_of(shown))


def _response(answer: Answer) -> Response:
    return Ready(answer.body, answer.status)
