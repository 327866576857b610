"""Albums over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from mooring.web.callers import SignedIn
from mooring.web.once import IdempotencyKey, create_once
from mooring.web.shapes import Asked, Cursor, Limit

router = APIRouter(prefix="/albums", tags=["albums"])


class NewAlbum(Asked):
    title: Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True, pattern=r"^[^\x00]+$")]
    description: Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")] | None = None


class AlbumOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    description: str | None
    photo_count: int
    created_at: datetime
    updated_at: datetime


class AlbumPage(BaseModel):
    albums: list[AlbumOut]
    next_cursor: int | None


@router.post("", status_code=201, response_model=AlbumOut)
async def create_album(request: Request, album: NewAlbum, caller: SignedIn, _: IdempotencyKey = None) -> Response:
    async def create(tx: object) -> AlbumOut:
        made = await request.app.state.house.albums.create(
            owner_id=caller.user_id, title=album.title, description=album.description, tx=tx
        )
        return AlbumOut.model_validate(made)

    return await create_once(request, caller, create, status=201)


@router.get("")
async def list_albums(request: Request, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None) -> AlbumPage:
    """The caller's albums, newest first."""
    albums = await request.app.state.house.albums.page(owner_id=caller.user_id, before=cursor, limit=limit)
    shown = [AlbumOut.model_validate(album) for album in albums]
    return AlbumPage(albums=shown, next_cursor=shown[-1].id if len(shown) == limit else None)
