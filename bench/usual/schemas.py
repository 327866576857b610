from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PresignedUrlRequest(BaseModel):
    album_id: int
    filename: str = Field(min_length=1, max_length=255)
    content_type: Literal["image/jpeg", "image/png", "image/webp", "image/gif", "image/heic"]
    file_size: int = Field(gt=0, le=100 * 2**20)


class PresignedUrlResponse(BaseModel):
    photo_id: int
    upload_url: str
    upload_headers: dict[str, str]
    expires_at: datetime
    object_key: str


class ConfirmRequest(BaseModel):
    photo_id: int


class ConfirmResponse(BaseModel):
    photo_id: int
    filename: str
    url: str


class PhotoOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    album_id: int
    filename: str
    content_type: str
    file_size: int
    status: str
    created_at: datetime
    url: str | None = None


class PhotoList(BaseModel):
    photos: list[PhotoOut]
    next_cursor: int | None
