"""Accounts over HTTP."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request

from mooring.accounts.users import (
    EMAIL_MOST,
    EMAIL_PATTERN,
    PASSWORD_LEAST,
    PASSWORD_MOST,
    TEXT_PATTERN,
    Plan,
    Role,
    check_email,
    check_password,
    check_text,
)
from mooring.web.callers import SignedIn
from mooring.web.shapes import FORMS, Asked, form_type, read, read_form

router = APIRouter(prefix="/auth", tags=["accounts"])

# The checks are `accounts`' own, with sentences of their own; the OpenAPI shows the patterns they use.
NewEmail = Annotated[
    str,
    Field(max_length=EMAIL_MOST, json_schema_extra={"pattern": EMAIL_PATTERN}, examples=["ada@example.org"]),
    AfterValidator(check_email),
]
NewPassword = Annotated[
    str,
    Field(min_length=PASSWORD_LEAST, max_length=PASSWORD_MOST, json_schema_extra={"pattern": TEXT_PATTERN}),
    AfterValidator(check_password),
]
KnownEmail = Annotated[
    str,
    Field(min_length=1, max_length=EMAIL_MOST, json_schema_extra={"pattern": TEXT_PATTERN}),
    AfterValidator(check_text),
]
KnownPassword = Annotated[
    str,
    Field(min_length=1, max_length=PASSWORD_MOST, json_schema_extra={"pattern": TEXT_PATTERN}),
    AfterValidator(check_text),
]


class Registration(Asked):
    email: NewEmail
    password: NewPassword


class Credentials(Asked):
    email: KnownEmail
    password: KnownPassword


class PasswordForm(BaseModel):
    """OAuth2's password form; its other fields (grant_type, scope, client_id …) say nothing here."""

    username: KnownEmail
    password: KnownPassword


class RefreshToken(Asked):
    refresh_token: Annotated[str, Field(min_length=1, max_length=512)]


class TokensOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str | None = Field(description="null for a user of another issuer")
    role: Role
    plan: Plan
    created_at: datetime


async def credentials(request: Request) -> Credentials:
    """From JSON, or from the form that the Authorize button of /docs sends."""
    if form_type(request)[0] not in FORMS:
        return await read(request, Credentials)
    async with request.form(max_files=0, max_fields=20) as fields:
        form = read_form(dict(fields), PasswordForm)
    return Credentials(email=form.username, password=form.password)


def _either_body() -> dict[str, Any]:
    schemas: dict[str, type[BaseModel]] = {
        "application/json": Credentials,
        "application/x-www-form-urlencoded": PasswordForm,
    }
    content = {media: {"schema": model.model_json_schema()} for media, model in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


@router.post("/register", status_code=201)
async def register(request: Request, asked: Registration) -> UserOut:
    user = await request.app.state.house.accounts.register(asked.email, asked.password)
    return UserOut.model_validate(user)


@router.post("/login", openapi_extra=_either_body())
async def login(request: Request, asked: Annotated[Credentials, Depends(credentials)]) -> TokensOut:
    """Takes JSON, or OAuth2's password form."""
    address = request.client.host if request.client else "unknown"
    house = request.app.state.house
    with house.metrics.login():
        tokens = await house.accounts.sign_in(asked.email, asked.password, address)
    return TokensOut.model_validate(tokens)


@router.post("/refresh")
async def refresh(request: Request, asked: RefreshToken) -> TokensOut:
    """Spends the token and gives the next. A spent one, shown again, ends the session it belongs to."""
    tokens = await request.app.state.house.accounts.refresh(asked.refresh_token)
    return TokensOut.model_validate(tokens)


@router.post("/logout", status_code=204)
async def logout(request: Request, asked: RefreshToken) -> None:
    """Ends the session. Access tokens already given out last until they expire, some minutes."""
    await request.app.state.house.accounts.sign_out(asked.refresh_token)


@router.get("/me")
async def me(request: Request, caller: SignedIn) -> UserOut:
    user = await request.app.state.house.accounts.describe(caller.user_id)
    return UserOut.model_validate(user)
