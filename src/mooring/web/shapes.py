"""What the routes' models share: strict JSON in, ready bytes out."""

from typing import Annotated, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

BIGGEST = 2**63 - 1

Id = Annotated[int, Field(ge=1, le=BIGGEST)]
PathId = Annotated[int, Path(ge=1, le=BIGGEST)]
Limit = Annotated[int, Query(ge=1, le=1000)]
# The id after which a page begins: `next_cursor` of the page before.
Cursor = Annotated[int | None, Query(ge=1, le=BIGGEST)]
# PostgreSQL keeps every character but NUL.
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]


class Asked(BaseModel):
    """A body: unknown fields and wrong types are refused, not guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Body = TypeVar("Body", bound=Asked)


async def read(request: Request, model: type[Body]) -> Body:
    return model.model_validate_json(await request.body())


def reply(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.__pydantic_serializer__.to_json(answer), status, media_type="application/json")
