"""Any upload over HTTP: its state, its story, a fresh URL, another try."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from mooring.uploads.lifecycle import Upload
from mooring.web.callers import Admin, SignedIn
from mooring.web.ranges import reply_if_new
from mooring.web.shapes import PathId

router = APIRouter(prefix="/uploads", tags=["uploads"])


class UploadOut(BaseModel):
    id: int
    kind: str
    state: str
    filename: str
    content_type: str
    file_size: int
    object_key: str
    error_message: str | None
    issued_at: datetime
    expires_at: datetime
    completed_at: datetime | None = Field(description="When its bytes arrived")
    progress: int | None = Field(description="How far processing is, in percent, where that is known")


class RenewedUpload(UploadOut):
    upload_url: str | None = Field(description="null where it comes in parts: each of them has a URL of its own")
    upload_headers: Mapping[str, str] | None


class EventOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    what: str
    trigger: str
    at: datetime
    detail: Mapping[str, Any] | None


class History(BaseModel):
    upload_id: int
    events: list[EventOut]


@router.get("/{upload_id}", response_model=UploadOut, responses={304: {"description": "As the client has it"}})
async def get_upload(request: Request, upload_id: PathId, caller: SignedIn) -> Response:
    """For polling: with the ETag of the last answer in `If-None-Match` the answer is 304 as long as nothing changed."""
    upload = await request.app.state.house.uploads.get(upload_id, owner_id=caller.user_id)
    return reply_if_new(request, UploadOut(**_facts(upload)))


@router.get("/{upload_id}/history")
async def get_history(request: Request, upload_id: PathId, caller: SignedIn) -> History:
    """What happened to it, by which trigger, and when."""
    events = await request.app.state.house.uploads.history(upload_id, owner_id=caller.user_id)
    return History(upload_id=upload_id, events=[EventOut.model_validate(event) for event in events])


@router.post("/{upload_id}/renew")
async def renew_upload(request: Request, upload_id: PathId, caller: SignedIn) -> RenewedUpload:
    """A fresh URL for the same upload, as long as it still waits for its bytes. One that comes in parts is awaited as
    much longer."""
    upload, put = await request.app.state.house.uploads.renew(upload_id, owner_id=caller.user_id)
    return RenewedUpload(
        **_facts(upload), upload_url=put.url if put else None, upload_headers=put.headers if put else None
    )


@router.post("/{upload_id}/retry")
async def retry_upload(request: Request, upload_id: PathId, _: Admin) -> UploadOut:
    """Have an upload processed again that FAILED. For administrators."""
    return UploadOut(**_facts(await request.app.state.house.uploads.retry(upload_id)))


def _facts(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "kind": upload.kind,
        "state": upload.state,
        "filename": upload.original_filename,
        "content_type": upload.content_type,
        "file_size": upload.file_size,
        "object_key": upload.object_key,
        "error_message": upload.error_message,
        "issued_at": upload.created_at,
        "expires_at": upload.expires_at,
        "completed_at": upload.completed_at,
        "progress": upload.progress,
    }
