"""Who calls? For FastAPI's routes as a dependency, for the hot ones as a plain call."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from mooring.accounts.callers import Caller, Callers
from mooring.errors import AdminsOnly, NotSignedIn
from mooring.web.edge import header

# Only says in the OpenAPI how to sign in, for the Authorize button of /docs; what it reads is not used.
_documented = OAuth2PasswordBearer(tokenUrl="/auth/login", auto_error=False)


async def signed_in(request: Request) -> Caller:
    caller = await caller_of(request)
    if "user_id" not in request.scope:
        request.app.state.house.metrics.signed_in += 1  # until the edge sees the request end
    request.scope["user_id"] = caller.user_id  # for the log
    return caller


async def caller_of(connection: HTTPConnection) -> Caller:
    """Not counted: what stays open, as a live stream does, is no request under way."""
    callers: Callers = connection.app.state.house.callers
    token = _bearer(connection.scope)
    return callers.recall(token) or await callers.admit(token)


async def _signed_in(request: Request, _: Annotated[str | None, Depends(_documented)]) -> Caller:
    return await signed_in(request)


SignedIn = Annotated[Caller, Depends(_signed_in)]


async def _admin(caller: SignedIn) -> Caller:
    if not caller.is_admin:
        raise AdminsOnly
    return caller


Admin = Annotated[Caller, Depends(_admin)]


def _bearer(scope: Scope) -> str:
    given = header(scope, b"authorization")
    if given is None:
        raise NotSignedIn
    scheme, _, token = given.partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise NotSignedIn("The Authorization header must read 'Bearer <access token>'.")
    return token.strip().decode("latin-1")
