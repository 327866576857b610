"""Photos over HTTP: issue, confirm, look, track."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from mooring.accounts.callers import Caller
from mooring.db.pages import LARGEST_PAGE
from mooring.errors import MooringError
from mooring.library.photos import Photo, Ticket
from mooring.uploads.lifecycle import STORED, Upload
from mooring.uploads.tracking import aggregate_incomplete_after_ttl
from mooring.web.callers import SignedIn, signed_in
from mooring.web.errors import error_of
from mooring.web.hot import HotRoutes
from mooring.web.once import answer_once, create_once
from mooring.web.shapes import Asked, Id, InDigits, Limit, Moment, NewFile, PathId, TextId, read, read_query, reply

router = APIRouter(prefix="/photos", tags=["photos"])
hot = HotRoutes("photos")

PhotoTitle = Annotated[
    str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True, pattern=r"^[^\x00]+$")
]
PhotoDescription = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]


class IssuePhoto(NewFile):
    album_id: Id


class IssuePhotos(Asked):
    album_id: Id
    files: Annotated[list[NewFile], Field(min_length=1, max_length=1000)]


@dataclass
class IssuedPhoto:
    """Where the file goes."""

    photo_id: int
    upload_url: str
    upload_headers: Annotated[Mapping[str, str], Field(description="Send these with the PUT, exactly")]
    expires_at: datetime
    object_key: str


class IssuedPhotos(BaseModel):
    photos: list[IssuedPhoto] = Field(description="One for each file, in order")


class ConfirmPhoto(Asked):
    photo_id: Id


class ConfirmPhotos(Asked):
    photo_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]


@dataclass
class ConfirmedPhoto:
    """Where it can be seen."""

    photo_id: int
    filename: str
    url: str


class Refusal(BaseModel):
    code: str
    message: str


class ConfirmResult(BaseModel):
    photo_id: int
    filename: str | None = None
    url: str | None = None
    error: Refusal | None = None


class ConfirmResults(BaseModel):
    results: list[ConfirmResult] = Field(description="One for each photo, in order")


@dataclass
class PhotoOut:
    """A photo, as its owner sees it."""

    id: int
    album_id: Annotated[int | None, Field(description="The album it was uploaded into, while it is in it")]
    filename: str
    title: str | None
    description: str | None
    content_type: str
    file_size: int
    width: Annotated[int | None, Field(description="As displayed; null until it was processed")]
    height: int | None
    blurhash: str | None
    camera: str | None
    taken_at: datetime | None
    state: str
    error_message: str | None
    url: Annotated[str | None, Field(description="Where the file can be fetched for a while; null until it arrived")]
    issued_at: datetime
    expires_at: datetime
    completed_at: datetime | None


class PhotoChanges(Asked):
    """What is not sent stays as it is; null clears."""

    title: PhotoTitle | None = None
    description: PhotoDescription | None = None


class AskedPage(BaseModel):
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE), InDigits] = 50
    cursor: TextId | None = None


class PhotoPage(BaseModel):
    photos: list[PhotoOut]
    next_cursor: int | None


class IncompleteRecordOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    upload_id: int
    album_id: int | None
    user_id: int
    issued_at: datetime
    expires_at: datetime


class Tracking(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    total_count: int
    by_user_id: dict[int, int]
    by_album_id: dict[int, int]
    sample_records: list[IncompleteRecordOut]


@hot.post("/photos/presigned-url", body=IssuePhoto, answer=IssuedPhoto)
async def issue_photo(request: Request) -> Response:
    """A temporary URL for one photo. PUT the file to it with exactly the given headers, then confirm."""
    caller = await signed_in(request)
    asked = await read(request, IssuePhoto)
    photos = request.app.state.house.photos

    async def issue(tx: Any) -> IssuedPhoto:
        return _issued(await photos.issue(asked.claim(), user_id=caller.user_id, album_id=asked.album_id, tx=tx))

    return await create_once(request, caller, issue)


@hot.post("/photos/presigned-url/batch", body=IssuePhotos, answer=IssuedPhotos)
async def issue_photos(request: Request) -> Response:
    """Temporary URLs for 1 to 1000 photos of one album: all of them, or none."""
    caller = await signed_in(request)
    asked = await read(request, IssuePhotos)
    claims = [file.claim() for file in asked.files]
    photos = request.app.state.house.photos

    async def issue(tx: Any) -> IssuedPhotos:
        tickets = await photos.issue_batch(claims, user_id=caller.user_id, album_id=asked.album_id, tx=tx)
        return IssuedPhotos.model_construct(photos=[_issued(ticket) for ticket in tickets])

    return await create_once(request, caller, issue)


@hot.post("/photos/confirm", body=ConfirmPhoto, answer=ConfirmedPhoto)
async def confirm_photo(request: Request) -> Response:
    """The file is up: have it looked at in storage. May be repeated."""
    caller = await signed_in(request)
    asked = await read(request, ConfirmPhoto)
    photos = request.app.state.house.photos

    async def confirm() -> ConfirmedPhoto:
        upload = await photos.confirm(asked.photo_id, user_id=caller.user_id)
        return ConfirmedPhoto(upload.id, upload.original_filename, photos.url(upload, until=caller.expires_at))

    return await answer_once(request, caller, confirm)


@hot.post("/photos/confirm/batch", body=ConfirmPhotos, answer=ConfirmResults)
async def confirm_photos(request: Request) -> Response:
    """The same for 1 to 1000 photos; each has its own result."""
    caller = await signed_in(request)
    asked = await read(request, ConfirmPhotos)
    photos = request.app.state.house.photos

    async def confirm() -> ConfirmResults:
        found = await photos.confirm_batch(asked.photo_ids, user_id=caller.user_id)
        results = [_result(id_, one, photos, caller) for id_, one in zip(asked.photo_ids, found, strict=True)]
        return ConfirmResults.model_construct(results=results)

    return await answer_once(request, caller, confirm, lambda answer: not any(one.error for one in answer.results))


@router.get("/", include_in_schema=False)
@hot.get("/photos", query=AskedPage, answer=PhotoPage)
async def list_photos(request: Request) -> Response:
    """The caller's photos that arrived, newest first."""
    caller, asked = await signed_in(request), read_query(request, AskedPage)
    photos = request.app.state.house.photos
    page = await photos.page(user_id=caller.user_id, before=asked.cursor, limit=asked.limit)
    next_cursor = page[-1].upload.id if len(page) == asked.limit else None
    listed = [shown(one, photos, caller) for one in page]
    return reply(PhotoPage.model_construct(photos=listed, next_cursor=next_cursor))


@router.get("/upload-tracking")
async def upload_tracking(
    request: Request,
    caller: SignedIn,
    limit: Limit = 100,
    since: Moment | None = None,
    until: Moment | None = None,
) -> Tracking:
    """Uploads whose URL lapsed and that never arrived: an administrator sees all, others their own.
    `since` and `until` bound when they were issued, `limit` the sample."""
    house = request.app.state.house
    user_id = None if caller.is_admin else caller.user_id
    incomplete = await aggregate_incomplete_after_ttl(
        house.db, now=house.clock(), limit=limit, user_id=user_id, since=since, until=until
    )
    return Tracking.model_validate(incomplete)


@router.get("/{photo_id}")
async def get_photo(request: Request, photo_id: PathId, caller: SignedIn) -> PhotoOut:
    photos = request.app.state.house.photos
    return shown(await photos.get(photo_id, user_id=caller.user_id), photos, caller)


@router.patch("/{photo_id}")
async def edit_photo(request: Request, photo_id: PathId, changes: PhotoChanges, caller: SignedIn) -> PhotoOut:
    """Title and description: null clears, what is not sent stays."""
    photos = request.app.state.house.photos
    asked = changes.model_dump(exclude_unset=True)
    return shown(await photos.edit(photo_id, user_id=caller.user_id, changes=asked), photos, caller)


@router.delete("/{photo_id}", status_code=204)
async def delete_photo(request: Request, photo_id: PathId, caller: SignedIn) -> None:
    """The photo, its file and its place in every album are gone; its bytes count no longer."""
    house = request.app.state.house
    await house.photos.delete(photo_id, user_id=caller.user_id)
    house.images.forget(caller.user_id)


def _issued(ticket: Ticket) -> IssuedPhoto:
    return IssuedPhoto(
        photo_id=ticket.photo_id,
        upload_url=ticket.put.url,
        upload_headers=ticket.put.headers,
        expires_at=ticket.expires_at,
        object_key=ticket.object_key,
    )


def _result(photo_id: int, found: Upload | MooringError, photos: Any, caller: Caller) -> ConfirmResult:
    if isinstance(found, MooringError):
        return ConfirmResult(photo_id=photo_id, error=Refusal(code=error_of(found)[1], message=found.message))
    url = photos.url(found, until=caller.expires_at)
    return ConfirmResult(photo_id=photo_id, filename=found.original_filename, url=url)


def shown(photo: Photo, photos: Any, caller: Caller) -> PhotoOut:
    upload = photo.upload
    return PhotoOut(
        id=upload.id,
        album_id=upload.target_id,
        filename=upload.original_filename,
        title=photo.title,
        description=photo.description,
        content_type=upload.content_type,
        file_size=upload.file_size,
        width=photo.width,
        height=photo.height,
        blurhash=photo.blurhash,
        camera=photo.camera,
        taken_at=photo.taken_at,
        state=upload.state,
        error_message=upload.error_message,
        url=photos.url(upload, until=caller.expires_at) if upload.state in STORED else None,
        issued_at=upload.created_at,
        expires_at=upload.expires_at,
        completed_at=upload.completed_at,
    )
