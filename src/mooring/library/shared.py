"""A shared album as a guest sees it. Opening it is a view; what the page then loads is not.

Whoever opened a link has a pass for some minutes. It stands for the password, and for the view that was counted: a link
that is used up still shows its images, and its further pages, to those who opened it. It never outlives the link:
whether that was revoked or has expired is looked up every time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

import structlog

from mooring.accounts.passwords import AT_ONCE, Passwords
from mooring.accounts.users import PASSWORD_MOST
from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.errors import (
    DatabaseUnavailable,
    MooringError,
    PhotoNotFound,
    ShareLinkGone,
    ShareLinkNotFound,
    ShareLinkNotOpened,
    SharePasswordRequired,
    TooManyGuesses,
    WrongSharePassword,
)
from mooring.library import shared_queries as queries
from mooring.library.share_pass import Pass, ShareKey, hash_of
from mooring.library.share_throttle import ShareThrottle, client_id
from mooring.library.shared_queries import Link, SharedAlbum, SharedPhoto
from mooring.observe.metrics import Metrics, TokenStatus

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Guest:
    """What somebody shows who comes with a link."""

    token: str
    address: str
    pass_text: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class SharedPage:
    album: SharedAlbum
    photos: Sequence[SharedPhoto]
    viewing: Pass
    needs_pass: bool  # whether the images ask for it
    expires_at: datetime | None


def _turns() -> asyncio.Semaphore:
    return asyncio.Semaphore(AT_ONCE)


@dataclass(frozen=True)
class Shared:
    db: Database
    clock: Clock
    passwords: Passwords
    key: ShareKey
    metrics: Metrics
    throttle: ShareThrottle = field(default_factory=ShareThrottle)
    turns: asyncio.Semaphore = field(default_factory=_turns)

    async def open(self, guest: Guest, *, after: int | None, limit: int) -> SharedPage:
        began = perf_counter()
        try:
            page = await self._open(guest, after, limit)
        except DatabaseUnavailable:
            raise  # says nothing of the link
        except MooringError as refusal:
            self.metrics.share_opened(_token_status(refusal), "denied", perf_counter() - began)
            raise
        self.metrics.share_opened("valid", "success", perf_counter() - began)
        return page

    async def _open(self, guest: Guest, after: int | None, limit: int) -> SharedPage:
        link = await self._link(guest)
        viewing = self._pass_of(guest, link)
        if viewing is None:
            await self._prove(guest, link)
            if not await queries.count_view(self.db, link.id, at=self.clock()):
                raise ShareLinkGone("was opened as often as it may be")
            viewing = self.key.issue_pass(link.token_hash, self.clock())
            log.info("share_link_opened", share_link_id=link.id, album_id=link.album_id)
        album = await queries.album(self.db, link.album_id)
        photos = await queries.photos(self.db, link.album_id, after=after, limit=limit)
        return SharedPage(album, photos, viewing, link.is_guarded, link.expires_at)

    async def link_to_image(self, guest: Guest, photo_id: int) -> Link:
        """The link, if this guest may see this photo by it."""
        status: TokenStatus = "valid"
        is_in_album = False
        try:
            link = await self._link(guest, photo_id)
            is_in_album = link.has_photo
            await self._admit_to_image(guest, link)
        except DatabaseUnavailable:
            raise
        except MooringError as refusal:
            self.metrics.share_image(_token_status(refusal), is_in_album=is_in_album)
            raise
        self.metrics.share_image("valid", is_in_album=is_in_album)
        if not is_in_album:
            raise PhotoNotFound(photo_id)
        return link
