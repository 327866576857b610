"""Recordings over HTTP, as guide 003 has them: fields in camelCase, a bare list, its codes of errors."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from mooring.accounts.callers import Caller
from mooring.library.recordings import Description, Record, Recordings, Status, Ticket
from mooring.uploads.service import Claim
from mooring.web.albums import Title
from mooring.web.callers import SignedIn
from mooring.web.once import IdempotencyKey, create_and_finish, create_once
from mooring.web.shapes import (
    BIGGEST,
    AskedInCamelCase,
    Cursor,
    Id,
    InCamelCase,
    Limit,
    PathId,
    Text,
    either_body,
    read_fields,
)

router = APIRouter(prefix="/records/async", tags=["recordings"])


DurationSeconds = Annotated[
    Annotated[int, Field(ge=0, lt=2**31)] | None, Field(description="As the client knows it; null where it does not")
]


class NewRecordingFile(AskedInCamelCase):
    original_filename: Text
    file_size: Annotated[int, Field(gt=0, le=BIGGEST)]
    content_type: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]([ -~]*[!-~])?$")]
    duration_seconds: DurationSeconds = None

    def claim(self) -> Claim:
        return Claim(self.original_filename, self.content_type, self.file_size)


class IssuedRecording(InCamelCase):
    upload_id: int
    presigned_url: str
    s3_key: str
    expiration_time: datetime
    upload_headers: dict[str, str] = Field(description="Send these with the PUT, exactly")


class NewRecord(AskedInCamelCase):
    title: Title
    upload_id: Id
    song_id: Id | None = None
    duration_seconds: DurationSeconds = None

    def description(self) -> Description:
        return Description(self.upload_id, self.title, self.song_id, self.duration_seconds)


class RecordOut(InCamelCase):
    id: int
    title: str
    user_id: int
    song_id: int | None
    upload_id: int
    duration_seconds: int | None = Field(description="As it was measured; until then, as the client said")
    processing_status: Status
    s3_key: str
    public_url: str | None = Field(description="Where it can be heard for a while; null until it is COMPLETED")
    created_at: datetime
    updated_at: datetime


@router.post("/presigned-url", response_model=IssuedRecording, openapi_extra=either_body(NewRecordingFile))
async def issue_recording(request: Request, caller: SignedIn, _: IdempotencyKey = None) -> Response:
    """A temporary URL for one recording: PUT the file to it with its content type. Takes JSON, or a form."""
    asked = await read_fields(request, NewRecordingFile)
    recordings = request.app.state.house.recordings

    async def issue(tx: Any) -> IssuedRecording:
        return _issued(await recordings.issue(asked.claim(), user_id=caller.user_id, tx=tx))

    return await create_once(request, caller, issue, content=asked.model_dump_json().encode())


@router.post("", response_model=RecordOut)
async def create_record(request: Request, asked: NewRecord, caller: SignedIn, _: IdempotencyKey = None) -> Response:
    """Says what an upload is a recording of, and has it worked on: at once where its bytes are there. COMPLETED where
    that is done within a moment, else PROCESSING."""
    house, recordings, user_id = request.app.state.house, request.app.state.house.recordings, caller.user_id

    async def create(tx: Any) -> RecordOut:
        return shown(await recordings.create(asked.description(), user_id=user_id, tx=tx), recordings, caller)

    async def finish(made: RecordOut) -> RecordOut:
        return shown(await recordings.settled(made.id, made.upload_id, user_id=user_id), recordings, caller)

    with house.metrics.record_creation():
        await recordings.look_for_bytes(asked.upload_id, user_id=user_id)
        return await create_and_finish(request, caller, create, finish, RecordOut)


@router.get("/me")
async def list_records(
    request: Request, response: Response, caller: SignedIn, limit: Limit = 100, cursor: Cursor = None
) -> list[RecordOut]:
    """The caller's records, newest first. Where there may be more, the headers `X-Next-Cursor` and `Link` say how to
    ask for them."""
    recordings = request.app.state.house.recordings
    page = await recordings.page(user_id=caller.user_id, before=cursor, limit=limit)
    if len(page) == limit:
        response.headers.update(_next(request, page[-1].id, limit))
    return [shown(record, recordings, caller) for record in page]


@router.get("/{record_id}")
async def get_record(request: Request, record_id: PathId, caller: SignedIn) -> RecordOut:
    recordings = request.app.state.house.recordings
    return shown(await recordings.get(record_id, user_id=caller.user_id), recordings, caller)


@router.delete("/{record_id}", status_code=204)
async def delete_record(request: Request, record_id: PathId, caller: SignedIn) -> None:
    """The record, its upload and every file of it are gone; its bytes count no longer."""
    await request.app.state.house.recordings.delete(record_id, user_id=caller.user_id)


def _issued(ticket: Ticket) -> IssuedRecording:
    return IssuedRecording(
        upload_id=ticket.upload_id,
        presigned_url=ticket.put.url,
        s3_key=ticket.object_key,
        expiration_time=ticket.expires_at,
        upload_headers=dict(ticket.put.headers),
    )


def shown(record: Record, recordings: Recordings, caller: Caller) -> RecordOut:
    return RecordOut.model_construct(
        id=record.id,
        title=record.title,
        user_id=record.user_id,
        song_id=record.song_id,
        upload_id=record.upload_id,
        duration_seconds=record.duration_seconds,
        processing_status=record.processing_status,
        s3_key=record.upload.object_key,
        public_url=recordings.public_url(record, until=caller.expires_at),
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _next(request: Request, cursor: int, limit: int) -> dict[str, str]:
    link = f'<{request.url.path}?limit={limit}&cursor={cursor}>; rel="next"'
    return {"X-Next-Cursor": str(cursor), "Link": link}
