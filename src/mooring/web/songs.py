"""Songs over HTTP: everybody's to look at, an administrator's to add."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from mooring.web.albums import Title
from mooring.web.callers import Admin, SignedIn
from mooring.web.once import IdempotencyKey, create_once
from mooring.web.shapes import AskedInCamelCase, Cursor, InCamelCase, Limit

router = APIRouter(prefix="/songs", tags=["recordings"])


class NewSong(AskedInCamelCase):
    title: Title
    artist: Title | None = None
    duration_seconds: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class SongOut(InCamelCase):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    artist: str | None
    duration_seconds: int | None
    created_at: datetime


class SongPage(InCamelCase):
    songs: list[SongOut]
    next_cursor: int | None


@router.get("")
async def list_songs(request: Request, _: SignedIn, limit: Limit = 100, cursor: Cursor = None) -> SongPage:
    """In the order they were added in."""
    page = await request.app.state.house.songs.page(after=cursor, limit=limit)
    listed = [SongOut.model_validate(song) for song in page]
    return SongPage(songs=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@router.post("", status_code=201, response_model=SongOut)
async def add_song(request: Request, song: NewSong, caller: Admin, _: IdempotencyKey = None) -> Response:
    """For administrators."""

    async def create(tx: Any) -> SongOut:
        songs = request.app.state.house.songs
        return SongOut.model_validate(await songs.create(**song.model_dump(), tx=tx))

    return await create_once(request, caller, create, status=201)
