"""Albums over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from mooring.web.callers import SignedIn
from mooring.web.once import IdempotencyKey, create_once
from mooring.web.photos import PhotoPage, shown
from mooring.web.shapes import Asked, Cursor, Id, Limit, PathId

router = APIRouter(prefix="/albums", tags=["albums"])

Title = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True, pattern=r"^[^\x00]+$")]
Description = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]


class NewAlbum(Asked):
    title: Title
    description: Description | None = None


class AlbumChange(Asked):
    """What is left out stays as it is."""

    title: Title = Field(default="", description="Left out: stays as it is")
    description: Description | None = Field(None, description="Left out: stays as it is; null: there is none any more")


class AlbumOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    description: str | None
    photo_count: int = Field(description="Photos that arrived")
    cover_photo_id: int | None = Field(description="The first of them")
    created_at: datetime
    updated_at: datetime


class AlbumPage(BaseModel):
    albums: list[AlbumOut]
    next_cursor: int | None


class AddPhotos(Asked):
    photo_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]


class AddedPhotos(BaseModel):
    album_id: int
    added: list[int] = Field(description="Those that were not in the album before")


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
    listed = [AlbumOut.model_validate(album) for album in albums]
    return AlbumPage(albums=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@router.get("/{album_id}")
async def get_album(request: Request, album_id: PathId, caller: SignedIn) -> AlbumOut:
    return AlbumOut.model_validate(await request.app.state.house.albums.get(album_id, owner_id=caller.user_id))


@router.patch("/{album_id}")
async def change_album(request: Request, album_id: PathId, change: AlbumChange, caller: SignedIn) -> AlbumOut:
    albums = request.app.state.house.albums
    wanted = change.model_dump(exclude_unset=True)
    return AlbumOut.model_validate(await albums.change(album_id, owner_id=caller.user_id, change=wanted))


@router.delete("/{album_id}", status_code=204)
async def delete_album(request: Request, album_id: PathId, caller: SignedIn) -> None:
    """The album, its share links, and those of its photos that are in no other album; their bytes count no longer."""
    house = request.app.state.house
    await house.albums.delete(album_id, owner_id=caller.user_id)
    house.images.forget(caller.user_id)


@router.get("/{album_id}/photos")
async def list_album_photos(
    request: Request, album_id: PathId, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None
) -> PhotoPage:
    """The album's photos that arrived, in the order they were uploaded in."""
    house = request.app.state.house
    page = await house.albums.photos(album_id, owner_id=caller.user_id, after=cursor, limit=limit)
    listed = [shown(photo, house.photos, caller) for photo in page]
    return PhotoPage(photos=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@router.post("/{album_id}/photos", response_model=AddedPhotos)
async def add_photos_to_album(
    request: Request, album_id: PathId, asked: AddPhotos, caller: SignedIn, _: IdempotencyKey = None
) -> Response:
    """Photos of the caller's that arrived, 1 to 1000: all of them are in the album then, or none was added. One that is
    in it already stays."""

    async def add(tx: object) -> AddedPhotos:
        albums = request.app.state.house.albums
        added = await albums.add(album_id, asked.photo_ids, owner_id=caller.user_id, tx=tx)
        return AddedPhotos(album_id=album_id, added=added)

    return await create_once(request, caller, add)


@router.delete("/{album_id}/photos/{photo_id}", status_code=204)
async def take_photo_out_of_album(request: Request, album_id: PathId, photo_id: PathId, caller: SignedIn) -> None:
    """Only its place in this album goes. The photo stays, in other albums or in none: `DELETE /photos/{photo_id}` is
    what deletes it."""
    await request.app.state.house.albums.take_out(album_id, photo_id, owner_id=caller.user_id)
