"""Share links over HTTP: their owner makes and revokes them, a guest opens them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Header, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from mooring.accounts.users import PASSWORD_MOST, TEXT_PATTERN, check_text
from mooring.library.images import Size
from mooring.library.share_links import LinkTerms, ShareLink, ShareLinks
from mooring.library.shared import Guest, SharedPage
from mooring.library.shared_queries import SharedPhoto
from mooring.web.callers import SignedIn
from mooring.web.hot import IMAGE_ANSWERS
from mooring.web.images import send
from mooring.web.once import IdempotencyKey, create_once
from mooring.web.shapes import Asked, Cursor, Limit, Moment, PathId, reply

router = APIRouter(tags=["share links"])

COOKIE = "share_pass"
TEN_YEARS = 3650 * 86400
SharePassword = Annotated[
    str,
    Field(min_length=1, max_length=PASSWORD_MOST, json_schema_extra={"pattern": TEXT_PATTERN}),
    AfterValidator(check_text),
]
# The token is in the address: it goes to no other site, into no cache and into no search engine.
FOR_GUESTS = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


def _text(value: object) -> object:
    """JSON has no moments: FastAPI reads bodies as Python, where a text is none either unless that is allowed."""
    if not isinstance(value, str):
        raise ValueError("Write it out, as in 2030-01-02T03:04:05Z")
    return value


class NewShareLink(Asked):
    expires_in: Annotated[int, Field(ge=1, le=TEN_YEARS)] | None = Field(None, description="Seconds from now")
    expires_at: Annotated[Moment, BeforeValidator(_text), Field(strict=False)] | None = None
    password: Annotated[SharePassword, Field(min_length=4)] | None = None
    max_views: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> "NewShareLink":
        if self.expires_in is not None and self.expires_at is not None:
            raise ValueError("Give expires_in or expires_at, not both")
        return self

    def terms(self, password_hash: str | None) -> LinkTerms:
        lapses_in = None if self.expires_in is None else timedelta(seconds=self.expires_in)
        return LinkTerms(lapses_in, self.expires_at, password_hash, self.max_views)


class ShareLinkOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    album_id: int
    created_at: datetime
    expires_at: datetime | None
    has_password: bool
    max_views: int | None
    views: int
    revoked_at: datetime | None
    is_active: bool


class SownShareLink(ShareLinkOut):
    """What is kept for an Idempotency-Key."""

    seed: str


class CreatedShareLink(ShareLinkOut):
    token: str = Field(description="Shown this once: only its hash is kept")
    url: str


class ShareLinkPage(BaseModel):
    share_links: list[ShareLinkOut]
    next_cursor: int | None


class KnownPassword(Asked):
    password: SharePassword


class SharedAlbumOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    title: str
    description: str | None
    photo_count: int


class SharedPhotoOut(BaseModel):
    id: int
    filename: str
    title: str | None
    description: str | None
    width: int | None
    height: int | None
    blurhash: str | None
    image_url: str | None = Field(description="The whole picture; null until it is processed")
    large_url: str | None
    thumb_url: str | None


class SharePage(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    album: SharedAlbumOut
    photos: list[SharedPhotoOut]
    next_cursor: int | None
    viewing_pass: str = Field(
        serialization_alias="pass",
        description="Show it as the parameter `pass` for further pages and images; the cookie says the same",
    )
    pass_expires_at: datetime
    expires_at: datetime | None


# ── its owner ──


@router.post("/albums/{album_id}/share-links", status_code=201, response_model=CreatedShareLink)
async def create_share_link(
    request: Request, album_id: PathId, asked: NewShareLink, caller: SignedIn, _: IdempotencyKey = None
) -> Response:
    """Shows the album to whoever has the link; until then, and as often, as it says."""
    links: ShareLinks = request.app.state.house.share_links
    terms = asked.terms(await links.hash_password(asked.password))

    async def create(tx: Any) -> SownShareLink:
        made = await links.create(album_id, terms, owner_id=caller.user_id, tx=tx)
        return SownShareLink(**_facts(made.link), seed=made.seed)

    sown = await create_once(request, caller, create, status=201, seal=links.key.key)
    return reply(_created(SownShareLink.model_validate_json(bytes(sown.body)), links), 201)


@router.get("/albums/{album_id}/share-links")
async def list_share_links(
    request: Request, album_id: PathId, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None
) -> ShareLinkPage:
    """The album's links, newest first; those that are over too."""
    links: ShareLinks = request.app.state.house.share_links
    page = await links.page(album_id, owner_id=caller.user_id, before=cursor, limit=limit)
    listed = [ShareLinkOut.model_validate(link) for link in page]
    return ShareLinkPage(share_links=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@router.delete("/share-links/{link_id}", status_code=204)
async def revoke_share_link(request: Request, link_id: PathId, caller: SignedIn) -> None:
    """At once, also for those who have it open. A token of the CDN given out before lasts its minute or two."""
    await request.app.state.house.share_links.revoke(link_id, owner_id=caller.user_id)


# ── a guest ──


def guest(
    request: Request,
    token: str,
    shown_pass: Annotated[str | None, Query(alias="pass", description="What opening the link gave")] = None,
    password: Annotated[str | None, Header(alias="X-Share-Password")] = None,
) -> Guest:
    passes = [text for text in (shown_pass, request.cookies.get(COOKIE)) if text]
    address = request.client.host if request.client else "unknown"
    return Guest(token, address, passes, None if password is None else _as_typed(password))


Visitor = Annotated[Guest, Depends(guest)]


@router.get("/share/{token}", response_model=SharePage)
async def open_share_link(request: Request, visitor: Visitor, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The album and its photos, in the order they were uploaded in. Counts as a view, unless the pass of an earlier one
    is shown: for 15 minutes that opens further pages, and the images, without a password and though no view is left."""
    page = await request.app.state.house.shared.open(visitor, after=cursor, limit=limit)
    return _opened(request, visitor.token, page, limit)


@router.post("/share/{token}", response_model=SharePage)
async def open_share_link_with_password(
    request: Request, visitor: Visitor, known: KnownPassword, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The same for a link with a password, which may have characters here that no header can carry."""
    knowing = replace(visitor, password=known.password)
    page = await request.app.state.house.shared.open(knowing, after=cursor, limit=limit)
    return _opened(request, visitor.token, page, limit)


@router.head("/share/{token}/photos/{photo_id}/image", include_in_schema=False)
@router.get("/share/{token}/photos/{photo_id}/image", response_class=Response, responses=IMAGE_ANSWERS)
async def get_shared_image(
    request: Request, visitor: Visitor, photo_id: PathId, size: Size = Size.original
) -> Response:
    """302 to the CDN where there is one, else the bytes; without what the camera wrote of its place. No view is
    counted. A link with a password or limited views asks for the pass that opening it gave."""
    image = await request.app.state.house.shared.image(visitor, photo_id, size)
    answer = await send(request, image.file, access_type="shared", until=image.until)
    answer.headers.update({name: value for name, value in FOR_GUESTS.items() if name != "Cache-Control"})
    return answer


def _as_typed(password: str) -> str:
    """Headers have no encoding of their own: clients send UTF-8, or what their language calls a string."""
    raw = password.encode("latin-1")
    return raw.decode(errors="replace") if _is_utf8(raw) else password


def _is_utf8(raw: bytes) -> bool:
    return raw == raw.decode(errors="ignore").encode()


def _facts(link: ShareLink) -> dict[str, Any]:
    return ShareLinkOut.model_validate(link).model_dump()


def _created(sown: SownShareLink, links: ShareLinks) -> CreatedShareLink:
    token = links.key.token(sown.seed)
    return CreatedShareLink(**sown.model_dump(exclude={"seed"}), token=token, url=links.url(token))


def _opened(request: Request, token: str, page: SharedPage, limit: int) -> Response:
    house = request.app.state.house
    address = house.share_links.url(token)
    shown = f"&pass={quote(page.viewing.text)}" if page.needs_pass else ""
    photos = [_photo(photo, address, shown) for photo in page.photos]
    answer = reply(
        SharePage(
            album=SharedAlbumOut.model_validate(page.album),
            photos=photos,
            next_cursor=photos[-1].id if len(photos) == limit else None,
            viewing_pass=page.viewing.text,
            pass_expires_at=page.viewing.expires_at,
            expires_at=page.expires_at,
        )
    )
    answer.headers.update(FOR_GUESTS)
    answer.set_cookie(
        COOKIE,
        page.viewing.text,
        max_age=int((page.viewing.expires_at - house.clock()).total_seconds()),
        path=urlsplit(address).path,
        secure=address.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer


def _photo(photo: SharedPhoto, address: str, shown: str) -> SharedPhotoOut:
    urls = {size: f"{address}/photos/{photo.id}/image?size={size}{shown}" for size in photo.sizes}
    return SharedPhotoOut(
        id=photo.id,
        filename=photo.filename,
        title=photo.title,
        description=photo.description,
        width=photo.width,
        height=photo.height,
        blurhash=photo.blurhash,
        image_url=urls.get("original"),
        large_url=urls.get("large"),
        thumb_url=urls.get("thumb"),
    )
