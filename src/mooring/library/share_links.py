"""Share links as their owner sees them: made, listed, revoked. What a guest does with one is in `shared`."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from mooring.accounts.passwords import Passwords
from mooring.clock import Clock
from mooring.db.pool import Database, Executor
from mooring.errors import AlbumNotFound, NotAcceptable, ShareLinkNotFound
from mooring.library.share_pass import ShareKey, hash_of
from mooring.observe.growth import Growth

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ShareLink:
    id: int
    album_id: int
    created_at: datetime
    expires_at: datetime | None
    has_password: bool
    max_views: int | None
    views: int
    revoked_at: datetime | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class NewShareLink:
    """Its token can be made of the seed, once, by whoever made the link."""

    link: ShareLink
    seed: str


@dataclass(frozen=True, slots=True)
class LinkTerms:
    lapses_in: timedelta | None
    expires_at: datetime | None
    password_hash: str | None
    max_views: int | None


@dataclass(frozen=True)
class ShareLinks:
    db: Database
    clock: Clock
    passwords: Passwords
    key: ShareKey
    public_url: str
    growth: Growth = field(default_factory=Growth)

    async def hash_password(self, password: str | None) -> str | None:
        """Before any transaction: it takes a while."""
        return None if password is None else await self.passwords.hash(password)

    async def create(
        self, album_id: int, terms: LinkTerms, *, owner_id: int, tx: Executor | None = None
    ) -> NewShareLink:
        at = self.clock()
        expires_at = terms.expires_at if terms.lapses_in is None else at + terms.lapses_in
        if expires_at is not None and expires_at <= at:
            raise NotAcceptable("expires_at has passed already.")
        seed = secrets.token_urlsafe(32)
        rows = await (tx or self.db).fetch(
            f"""INSERT INTO share_links AS l (album_id, token_hash, password_hash, max_views, created_at, expires_at)
                SELECT id, $3, $4, $5, $6, $7 FROM albums WHERE id = $1 AND owner_id = $2 FOR KEY SHARE
                RETURNING {_link("$6")}""",
            album_id,
            owner_id,
            hash_of(self.key.token(seed)),
            terms.password_hash,
            terms.max_views,
            at,
            expires_at,
        )
        if not rows:
            raise AlbumNotFound(album_id)
        link = ShareLink(*rows[0])
        self.growth.link_created()
        log.info("share_link_created", share_link_id=link.id, album_id=album_id, user_id=owner_id)
        return NewShareLink(link, seed)

    def url(self, token: str) -> str:
        return f"{self.public_url}/share/{token}"

    async def page(self, album_id: int, *, owner_id: int, before: int | None, limit: int) -> list[ShareLink]:
        """Newest first, those that are over too."""
        rows = await self.db.fetch(
            f"""SELECT {_link("$5")} FROM share_links l
                WHERE l.album_id = (SELECT id FROM albums WHERE id = $1 AND owner_id = $2)
                  AND ($3::bigint IS NULL OR l.id < $3)
                ORDER BY l.id DESC LIMIT $4""",
            album_id,
            owner_id,
            before,
            limit,
            self.clock(),
        )
        if not rows and not await self.db.fetch(
            "SELECT 1 FROM albums WHERE id = $1 AND owner_id = $2", album_id, owner_id
        ):
            raise AlbumNotFound(album_id)
        return [ShareLink(*row) for row in rows]

    async def revoke(self, link_id: int, *, owner_id: int) -> None:
        """At once, for passes too. A second time changes nothing."""
        rows = await self.db.fetch(
            """UPDATE share_links l SET revoked_at = coalesce(l.revoked_at, $3) FROM albums a
               WHERE l.id = $1 AND a.id = l.album_id AND a.owner_id = $2
               RETURNING l.album_id, l.revoked_at = $3 AND coalesce(l.expires_at > $3, true)
                   AND coalesce(l.views < l.max_views, true)""",
            link_id,
            owner_id,
            self.clock(),
        )
        if not rows:
            raise ShareLinkNotFound
        album_id, was_active = rows[0]
        if was_active:
            self.growth.link_revoked()
        log.info("share_link_revoked", share_link_id=link_id, album_id=album_id, user_id=owner_id)


def _link(now: str) -> str:
    """The columns of a `ShareLink`, of `share_links l`."""
    return f"""l.id, l.album_id, l.created_at, l.expires_at, l.password_hash IS NOT NULL, l.max_views, l.views,
    l.revoked_at,
    l.revoked_at IS NULL AND coalesce(l.expires_at > {now}, true) AND coalesce(l.views < l.max_views, true)"""
