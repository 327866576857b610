import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from usual import cdn, s3
from usual.database import get_session
from usual.models import Album, Photo, TempUploadRecord, UploadEvent, User
from usual.schemas import (
    ConfirmRequest,
    ConfirmResponse,
    PhotoList,
    PhotoOut,
    PresignedUrlRequest,
    PresignedUrlResponse,
)
from usual.security import get_current_active_user
from usual.settings import settings

app = FastAPI()

CurrentUser = Annotated[User, Depends(get_current_active_user)]
CurrentSession = Annotated[AsyncSession, Depends(get_session)]


@app.post("/photos/presigned-url", response_model=PresignedUrlResponse)
async def create_presigned_url(
    request: PresignedUrlRequest, user: CurrentUser, session: CurrentSession
) -> PresignedUrlResponse:
    album = await session.scalar(select(Album).where(Album.id == request.album_id, Album.owner_id == user.id))
    if album is None:
        raise HTTPException(status_code=404, detail="Album not found")

    now = datetime.now(UTC)
    expires_at = now + timedelta(seconds=settings.url_expires_seconds)
    extension = request.filename.rpartition(".")[2].lower()
    photo = Photo(
        album_id=album.id,
        owner_id=user.id,
        filename=request.filename,
        content_type=request.content_type,
        file_size=request.file_size,
        object_key=f"photos/{user.id}/{uuid.uuid4()}.{extension}",
    )
    session.add(photo)
    await session.flush()  # the database gives the id
    session.add(
        TempUploadRecord(upload_id=photo.id, album_id=album.id, user_id=user.id, issued_at=now, expires_at=expires_at)
    )
    session.add(UploadEvent(upload_id=photo.id, what="issued", detail={"file_size": request.file_size}))
    await session.commit()
    await session.refresh(photo)

    return PresignedUrlResponse(
        photo_id=photo.id,
        upload_url=s3.presign_put(photo.object_key, photo.content_type, photo.file_size),
        upload_headers={"Content-Type": photo.content_type},
        expires_at=expires_at,
        object_key=photo.object_key,
    )


@app.post("/photos/confirm", response_model=ConfirmResponse)
async def confirm_upload(request: ConfirmRequest, user: CurrentUser, session: CurrentSession) -> ConfirmResponse:
    photo = await session.scalar(select(Photo).where(Photo.id == request.photo_id, Photo.owner_id == user.id))
    if photo is None:
        raise HTTPException(status_code=404, detail="Photo not found")

    size = await s3.size_of(photo.object_key)
    if size is None:
        raise HTTPException(status_code=404, detail="File not uploaded")
    if size != photo.file_size:
        raise HTTPException(status_code=400, detail="File size differs")

    record = await session.get_one(TempUploadRecord, photo.id)
    record.completed_at = datetime.now(UTC)
    photo.status = "UPLOADED"
    session.add(UploadEvent(upload_id=photo.id, what="arrived", detail={"size": size}))
    await session.commit()
    await session.refresh(photo)

    return ConfirmResponse(photo_id=photo.id, filename=photo.filename, url=f"/photos/{photo.id}/image")


@app.get("/photos", response_model=PhotoList)
async def list_photos(
    user: CurrentUser, session: CurrentSession, limit: int = 20, cursor: int | None = None
) -> PhotoList:
    query = select(Photo).where(Photo.owner_id == user.id, Photo.status != "PENDING")
    if cursor is not None:
        query = query.where(Photo.id < cursor)
    photos = (await session.scalars(query.order_by(Photo.id.desc()).limit(limit))).all()
    listed = []
    for photo in photos:
        shown = PhotoOut.model_validate(photo)
        shown.url = s3.presign_get(photo.object_key)
        listed.append(shown)
    return PhotoList(photos=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@app.get("/photos/{photo_id}/image")
async def get_image(photo_id: int, user: CurrentUser, session: CurrentSession) -> RedirectResponse:
    photo = await session.scalar(select(Photo).where(Photo.id == photo_id, Photo.owner_id == user.id))
    if photo is None or photo.status == "PENDING":
        raise HTTPException(status_code=404, detail="Photo not found")
    return RedirectResponse(cdn.secure_link(photo.object_key), status_code=302)
