"""What the routes' models share: strict JSON in, ready bytes out."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union
from urllib.parse import parse_qsl

from fastapi import Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from python_multipart.multipart import parse_options_header
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from mooring.db.pages import LARGEST_PAGE
from mooring.uploads.service import Claim

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic_core import SchemaSerializer

BIGGEST = 2**63 - 1
# What a browser's form makes of a number that it does not have: the length of its own recording is `Infinity`.
UNKNOWN = ("", "Infinity", "NaN", "null", "undefined")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


# Of a number that comes as text: spaces around one, `+5` and `1_000` would be read too.
_DIGITS = re.compile(r"-?[0-9]+")
NOT_IN_DIGITS = "Write a whole number, in digits"


def _in_digits(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError(NOT_IN_DIGITS)
    return value


InDigits = BeforeValidator(_in_digits)
Id = Annotated[int, Field(ge=1, le=BIGGEST)]
TextId = Annotated[Id, InDigits]
PathId = Annotated[int, Path(ge=1, le=BIGGEST), InDigits]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE), InDigits]
# The id after which a page begins: `next_cursor` of the page before.
Cursor = Annotated[int | None, Query(ge=1, le=BIGGEST), InDigits]


def _written_out(value: object) -> object:
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("Write it out, as in 2030-01-02T03:04:05Z")
    return value


# No bare numbers: `2030` would be half an hour after 1970 began. And both ends of the calendar have no name in UTC.
Moment = Annotated[
    AwareDatetime,
    Field(gt=datetime(1, 1, 2, tzinfo=UTC), lt=datetime(9999, 12, 30, tzinfo=UTC)),
    BeforeValidator(_written_out),
]
# PostgreSQL keeps every character but NUL.
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]


class Asked(BaseModel):
    """A body: unknown fields and wrong types are refused, not guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewFile(Asked):
    filename: Text
    content_type: Annotated[str, StringConstraints(max_length=100, to_lower=True)]
    file_size: Annotated[int, Field(gt=0, le=BIGGEST)]
    checksum_sha256: Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9A-Fa-f]{64}$")] | None = None

    def claim(self) -> Claim:
        return Claim(self.filename, self.content_type, self.file_size, self.checksum_sha256)


class AskedInCamelCase(Asked):
    """Guides 003 and 004 write their fields so."""

    model_config = ConfigDict(alias_generator=to_camel)


class InCamelCase(BaseModel):
    """The same of answers. In here they are made by their plain names."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)


# What is answered: a model, or a plain dataclass, which is made in an eighth of the time.
Shape = Union[BaseModel, "DataclassInstance"]
Body = TypeVar("Body", bound=BaseModel)


async def read(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as wrong:
        raise _refusal(wrong) from None


def read_form(fields: dict[str, Any], model: type[Body]) -> Body:
    try:
        return model.model_validate(fields)
    except ValidationError as wrong:
        raise _refusal(wrong) from None


def read_query(connection: HTTPConnection, model: type[Body]) -> Body:
    """With what stands in its path. Of a name that comes twice the last counts."""
    query = connection.scope["query_string"]
    sent = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
    return read_form(sent | connection.path_params, model)


def form_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    """The media type of a body, with its parameters. Asked before a form is read: Starlette decodes one by whatever
    charset is named, and of those that Python knows some fail, and some give what can't be written."""
    named, options = parse_options_header(request.headers.get("content-type"))
    media = named.decode("latin-1")
    if media in FORMS and options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise refusal("Content-Type", "A form is read as UTF-8: say no charset, or charset=utf-8.")
    return media, options


async def read_fields(request: Request, model: type[Body]) -> Body:
    """JSON, or a form of either kind with the same fields, each once and none of them a file."""
    if form_type(request)[0] not in FORMS:
        return await read(request, model)
    async with request.form(max_files=1, max_fields=50) as form:
        sent = form.multi_items()
    for name, value in sent:
        if not isinstance(value, str):
            raise refusal(name, "A file has no place here: send it to the URL that you get.")
        if len(form.getlist(name)) > 1:
            raise refusal(name, "This field is there twice.")
    optional = {field.alias or name for name, field in model.model_fields.items() if not field.is_required()}
    fields = {name: str(value) for name, value in sent if name not in optional or value not in UNKNOWN}
    try:
        said = model.model_validate_strings(fields)
    except ValidationError as wrong:
        raise _refusal(wrong) from None
    for name, number in said.model_dump(by_alias=True).items():
        if type(number) is int and name in fields and not _DIGITS.fullmatch(fields[name]):
            raise refusal(name, NOT_IN_DIGITS)
    return said


def either_body(model: type[BaseModel]) -> dict[str, Any]:
    """For the OpenAPI of what `read_fields` reads."""
    content = {media: {"schema": model.model_json_schema()} for media in ("application/json", *FORMS)}
    return {"requestBody": {"required": True, "content": content}}


def refusal(field: str, why: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("body", field), "msg": why}])


def _refusal(wrong: ValidationError) -> RequestValidationError:
    """What a caller sent wrongly; a ValidationError from anywhere else is a bug of ours."""
    return RequestValidationError(wrong.errors(include_url=False, include_input=False))


class Ready(Response):
    """JSON that is bytes already: nothing to render, no header to look up."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def reply(answer: Shape, status: int = 200) -> Response:
    return Ready(json_of(answer), status)


def json_of(answer: Shape) -> bytes:
    return _serializer(type(answer)).to_json(answer)


@cache
def _serializer(kind: type[Shape]) -> "SchemaSerializer":
    return TypeAdapter(kind).serializer
