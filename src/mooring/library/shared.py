"""A shared album as a guest sees it. Opening it is a view; what the page then loads is not.

Whoever opened a link has a pass for some minutes. It stands for the password, and for the view that was counted: a link
that is used up still shows its images, and its further pages, to those who opened it. It never outlives the link:
whether that was revoked or has expired is looked up every time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

import structlog

from mooring.accounts.networks import client_id
from mooring.accounts.passwords import Passwords
from mooring.accounts.users import PASSWORD_MOST
from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.errors import (
    DatabaseUnavailable,
    MooringError,
    ShareLinkGone,
    ShareLinkNotFound,
    ShareLinkNotOpened,
    SharePasswordRequired,
    TooManyGuesses,
    WrongSharePassword,
)
from mooring.library import shared_queries as queries
from mooring.library.images import Size, in_album
from mooring.library.share_pass import Pass, ShareKey, hash_of
from mooring.library.share_throttle import ShareThrottle
from mooring.library.shared_queries import Link, SharedAlbum, SharedPhoto
from mooring.observe.metrics import Metrics
from mooring.observe.words import TokenStatus
from mooring.uploads.served import ServedFile

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Guest:
    """What somebody shows who comes with a link."""

    token: str
    address: str
    passes: Sequence[str] = ()
    password: str | None = None


@dataclass(frozen=True, slots=True)
class SharedPage:
    album: SharedAlbum
    photos: Sequence[SharedPhoto]
    viewing: Pass
    needs_pass: bool  # whether the images ask for it
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class SharedImage:
    file: ServedFile | None  # None: not in this album, or not processed yet
    until: datetime | None  # when the right to see it ends


@dataclass(frozen=True)
class Shared:
    db: Database
    clock: Clock
    passwords: Passwords
    key: ShareKey
    metrics: Metrics
    throttle: ShareThrottle = field(default_factory=ShareThrottle)

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
        link = await self._find(guest)
        _refuse_over(link, self.clock())
        viewing = self._pass_of(guest, link.token_hash)
        if viewing is None:
            await self._prove(guest, link)
            if not await queries.count_view(self.db, link.id, at=self.clock()):
                raise ShareLinkGone(USED_UP)
            viewing = self.key.issue_pass(link.token_hash, self.clock())
            log.info("share_link_opened", share_link_id=link.id, album_id=link.album_id)
        album = await queries.album(self.db, link.album_id)
        if album is None:  # deleted this very moment, and the link with it
            raise ShareLinkNotFound
        photos = await queries.photos(self.db, link.album_id, after=after, limit=limit)
        return SharedPage(album, photos, viewing, link.is_guarded, link.expires_at)

    async def image(self, guest: Guest, photo_id: int, size: Size) -> SharedImage:
        began = perf_counter()
        is_in_album = False
        try:
            link = await self._find(guest, photo_id)
            is_in_album = link.has_photo
            _refuse_over(link, self.clock())
            await self._admit_to_image(guest, link)
        except DatabaseUnavailable:
            raise
        except MooringError as refusal:
            self.metrics.share_image(_token_status(refusal), is_in_album=is_in_album)
            self.metrics.image_access("shared", "denied", perf_counter() - began)
            raise
        self.metrics.share_image("valid", is_in_album=is_in_album)
        return SharedImage(await in_album(self.db, link.album_id, photo_id, size), link.expires_at)

    async def _admit_to_image(self, guest: Guest, link: Link) -> None:
        if self._pass_of(guest, link.token_hash):
            return
        await self._prove(guest, link)
        if link.max_views is not None:
            raise ShareLinkNotOpened

    async def _find(self, guest: Guest, photo_id: int | None = None) -> Link:
        """Who guesses tokens is made to wait; a pass shows who does not."""
        token_hash = hash_of(guest.token)
        if token_hash is None or self._pass_of(guest, token_hash) is None:
            self._refuse_guesser(guest)
        link = await queries.link_by_token(self.db, token_hash, photo_id) if token_hash else None
        if link is None:
            self.metrics.share_guessed(client_id(guest.address))
            self.throttle.unknown_token(guest.address)
            raise ShareLinkNotFound
        return link

    def _refuse_guesser(self, guest: Guest) -> None:
        try:
            self.throttle.check_tokens(guest.address)
        except TooManyGuesses:
            self.metrics.share_guessed(client_id(guest.address))
            raise

    def _pass_of(self, guest: Guest, token_hash: bytes) -> Pass | None:
        read = (self.key.read_pass(text, token_hash, self.clock()) for text in guest.passes)
        return next((known for known in read if known), None)

    async def _prove(self, guest: Guest, link: Link) -> None:
        """That the guest may come in: a view is left, and the password, where there is one, is known."""
        if link.is_used_up:
            raise ShareLinkGone(USED_UP)
        if link.password_hash is None:
            return
        if guest.password is None:
            raise SharePasswordRequired
        self.throttle.try_password(link.id, guest.address)
        may_fit = len(guest.password) <= PASSWORD_MOST
        if not (may_fit and await self.passwords.match(guest.password, link.password_hash)):
            self.throttle.wrong_password(link.id)
            raise WrongSharePassword
        self.throttle.right_password(link.id, guest.address)


def _refuse_over(link: Link, at: datetime) -> None:
    if link.revoked_at is not None:
        raise ShareLinkGone("was revoked")
    if link.expires_at is not None and link.expires_at <= at:
        raise ShareLinkGone("has expired")


def _token_status(refusal: MooringError) -> TokenStatus:
    """What the metrics say of the link that was refused."""
    return next((status for kind, status in REFUSED.items() if isinstance(refusal, kind)), "valid")


REFUSED: Mapping[type[MooringError], TokenStatus] = {
    ShareLinkNotFound: "invalid",
    TooManyGuesses: "invalid",
    ShareLinkGone: "expired",
}
USED_UP = "was opened as often as it may be"
