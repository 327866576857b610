"""Refresh tokens. A session is a family of them: each use spends one and gives the next.

Only their SHA-256 is stored. A spent token shown again means that two hold it, its owner and a thief, and
nobody can tell which is which: the whole family ends. Two refreshes at once with one token are the same case.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg

from mooring.db.batches import batch_by_batch
from mooring.db.pool import Database
from mooring.errors import SessionEnded


@dataclass(frozen=True, slots=True)
class Refreshed:
    user_id: int
    role: str
    plan: str
    refresh_token: str


async def open_session(db: Database, user_id: int, at: datetime, lapses_in: timedelta) -> str | None:
    """The first token of a new family; None where the user may not sign in any more."""
    token = secrets.token_urlsafe(32)
    opened = await db.fetchval(
        """INSERT INTO refresh_tokens (token_hash, family, user_id, created_at, expires_at)
           SELECT $2, $3, id, $4, $5 FROM users WHERE id = $1 AND is_active
           RETURNING true""",
        user_id,
        _hash(token),
        uuid4(),
        at,
        at + lapses_in,
    )
    return token if opened else None


async def refresh_session(db: Database, token: str, at: datetime, lapses_in: timedelta) -> Refreshed:
    async with db.transaction() as tx:
        await _hold_family(tx, token)
        refreshed = await _spend(tx, token, at, lapses_in)
        if refreshed is None:
            await _end_family(tx, token)
    if refreshed is None:  # said after the commit, or the end of the family would be rolled back
        raise SessionEnded
    return refreshed


async def end_session(db: Database, token: str) -> None:
    """It is no error that there is none: signed out is signed out."""
    async with db.transaction() as tx:
        await _hold_family(tx, token)
        await _end_family(tx, token)


async def purge_sessions(db: Database, at: datetime, limit: int) -> int:
    """Forget tokens that lapsed, `limit` of them at once; how many it were. Any number may purge at the same time."""

    async def purge() -> int:
        return int(
            await db.fetchval(
                """WITH purged AS (
                       DELETE FROM refresh_tokens WHERE token_hash IN (
                           SELECT token_hash FROM refresh_tokens WHERE expires_at <= $1
                           ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
                       RETURNING 1)
                   SELECT count(*) FROM purged""",
                at,
                limit,
            )
        )

    return await batch_by_batch(purge, limit)


async def _hold_family(tx: asyncpg.Connection, token: str) -> None:
    """Until the transaction ends, nobody else moves this family. Without it, the end of a family would not
    see the token that a refresh is just adding to it, and a thief's would live on."""
    await tx.execute(
        """SELECT pg_advisory_xact_lock(hashtextextended(family::text, 0))
           FROM refresh_tokens WHERE token_hash = $1""",
        _hash(token),
    )


async def _spend(tx: asyncpg.Connection, token: str, at: datetime, lapses_in: timedelta) -> Refreshed | None:
    following = secrets.token_urlsafe(32)
    row = await tx.fetchrow(
        """WITH spent AS (
               UPDATE refresh_tokens t SET spent_at = $2
               FROM users u
               WHERE t.token_hash = $1 AND t.spent_at IS NULL AND t.expires_at > $2
                 AND u.id = t.user_id AND u.is_active
               RETURNING t.family, t.user_id, u.role, u.plan),
           following AS (
               INSERT INTO refresh_tokens (token_hash, family, user_id, created_at, expires_at)
               SELECT $3, family, user_id, $2, $4 FROM spent)
           SELECT user_id, role, plan FROM spent""",
        _hash(token),
        at,
        _hash(following),
        at + lapses_in,
    )
    return Refreshed(**row, refresh_token=following) if row else None


async def _end_family(tx: asyncpg.Connection, token: str) -> None:
    await tx.execute(
        """DELETE FROM refresh_tokens
           WHERE family = (SELECT family FROM refresh_tokens WHERE token_hash = $1)""",
        _hash(token),
    )


def _hash(token: str) -> bytes:
    """No slow hash: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).digest()
