"""The direct upload: one form, the file in it, straight through to storage."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from mooring.accounts.callers import Caller
from mooring.db.pool import Executor
from mooring.library.direct_photos import DirectPhotos
from mooring.uploads.lifecycle import Upload
from mooring.web.callers import SignedIn
from mooring.web.forms import FileForm
from mooring.web.once import IdempotencyKey, create_once, was_answered
from mooring.web.photos import ConfirmedPhoto, PhotoDescription, PhotoTitle
from mooring.web.shapes import BIGGEST, InDigits, TextId, read_form, refusal

router = APIRouter(prefix="/photos", tags=["photos"])


def _or_none(value: Any) -> Any:
    """A browser sends what was left empty as an empty text."""
    return value or None


class Besides(BaseModel):
    """The fields beside the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    album_id: Annotated[TextId | None, BeforeValidator(_or_none)] = None
    title: Annotated[PhotoTitle | None, BeforeValidator(_or_none)] = None
    description: Annotated[PhotoDescription | None, BeforeValidator(_or_none)] = None


FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "album_id": {"type": "integer", "minimum": 1, "description": "Before the file, unless it is in the query"},
        "title": {"type": "string", "maxLength": 255},
        "description": {"type": "string", "maxLength": 10_000},
        "file": {"type": "string", "format": "binary"},
    },
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}


@router.post("/", status_code=201, response_model=ConfirmedPhoto, openapi_extra=BODY)
@router.post("", status_code=201, response_model=ConfirmedPhoto, openapi_extra=BODY)
async def upload_photo(
    request: Request,
    caller: SignedIn,
    album_id: Annotated[int | None, Query(ge=1, le=BIGGEST), InDigits] = None,
    _: IdempotencyKey = None,
) -> Response:
    """One photo in one call, through this server: simpler than a temporary URL, and dearer for both sides.
    What counts is what the file contains, not its name or declared type."""
    form = await FileForm.of(request)
    album = album_of(form, album_id)
    photos = request.app.state.house.direct_photos
    async with photos.receiving(
        form.filename,
        form.pieces(),
        at_least=form.at_least,
        user_id=caller.user_id,
        album_id=album,
        was_taken_in=lambda: was_answered(request, caller),
    ) as landing:
        said = besides(await form.rest(), album)

        async def take_in(tx: Executor | None) -> ConfirmedPhoto:
            return taken(
                await photos.take_in(landing, title=said.title, description=said.description, tx=tx), photos, caller
            )

        return await create_once(request, caller, take_in, status=201, content=form.fingerprint(album))


def taken(upload: Upload, photos: DirectPhotos, caller: Caller) -> ConfirmedPhoto:
    return ConfirmedPhoto(upload.id, upload.original_filename, photos.photos.url(upload, until=caller.expires_at))


def album_of(form: FileForm, asked: int | None) -> int:
    """Known before the file is read: nothing is stored for an album that is not the caller's."""
    said = {name: value for name, value in form.before.items() if name == "album_id"}
    album = asked or read_form(said, Besides).album_id
    if album is None:
        raise refusal("album_id", "Say it in the query, or in a field that comes before the file.")
    return album


def besides(fields: dict[str, str], album: int) -> Besides:
    said = read_form(fields, Besides)
    if said.album_id not in (None, album):
        raise refusal("album_id", "Query and form name different albums.")
    return said
