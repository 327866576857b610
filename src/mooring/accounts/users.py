"""The rows of `users`: ours, and those of a trusted issuer."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from mooring import clock
from mooring.accounts.passwords import Passwords
from mooring.db.pool import Database
from mooring.errors import EmailTaken, NotAcceptable

Role = Literal["user", "admin"]
Plan = Literal["free", "premium"]

EMAIL_MOST = 254
PASSWORD_LEAST = 8
PASSWORD_MOST = 1024

# Also shown in the OpenAPI. One @, no blanks, a domain of labels; whether mail arrives there nobody can tell.
TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
EMAIL_PATTERN = r"^[^\s@\x00-\x1f\x7f-\x9f]{1,64}@[^\s@.\x00-\x1f\x7f-\x9f]+(\.[^\s@.\x00-\x1f\x7f-\x9f]+)*$"

_COLUMNS = "id, email, password_hash, role, plan, is_active, created_at"


@dataclass(frozen=True, slots=True)
class User:
    id: int
    email: str | None  # None: a user of another issuer
    password_hash: str | None
    role: Role
    plan: Plan
    is_active: bool
    created_at: datetime


async def create_user(
    db: Database,
    email: str,
    password: str,
    role: Role = "user",
    plan: Plan = "free",
    *,
    passwords: Passwords | None = None,
    at: datetime | None = None,
) -> User:
    """`NotAcceptable` says what is wrong with the e-mail or the password; `EmailTaken`."""
    check_email(email)
    check_password(password)
    password_hash = await (passwords or Passwords()).hash(password)
    try:
        (row,) = await db.fetch(
            f"""INSERT INTO users (email, password_hash, role, plan, created_at)
                VALUES ($1, $2, $3, $4, $5) RETURNING {_COLUMNS}""",
            email,
            password_hash,
            role,
            plan,
            at or clock.now(),
        )
    except asyncpg.UniqueViolationError:
        raise EmailTaken(email) from None
    return User(**row)


async def user_by_email(db: Database, email: str) -> User | None:
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM users WHERE lower(email) = lower($1)", email)
    return User(**row) if row else None


async def user_by_id(db: Database, user_id: int) -> User | None:
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM users WHERE id = $1", user_id)
    return User(**row) if row else None


async def user_of_issuer(db: Database, issuer: str, subject: str, at: datetime) -> User:
    """Theirs, made at first sight. Of many first sights at once one makes the row and all get it."""
    read = f"SELECT {_COLUMNS} FROM users WHERE issuer = $1 AND subject = $2"
    rows = await db.fetch(read, issuer, subject)
    if not rows:
        await db.execute(
            "INSERT INTO users (issuer, subject, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            issuer,
            subject,
            at,
        )
        rows = await db.fetch(read, issuer, subject)
    return User(**rows[0])


async def keep_newer_hash(db: Database, user: User, password_hash: str) -> None:
    """Unless the password was changed meanwhile."""
    await db.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash = $3",
        user.id,
        password_hash,
        user.password_hash,
    )


def check_email(email: str) -> str:
    check_text(email)
    if len(email) > EMAIL_MOST or not re.fullmatch(EMAIL_PATTERN, email):
        raise NotAcceptable(f"This is no e-mail address of at most {EMAIL_MOST} characters.")
    return email


def check_password(password: str) -> str:
    check_text(password)
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise NotAcceptable(f"A password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters.")
    return password


def check_text(text: str) -> str:
    if not re.fullmatch(TEXT_PATTERN, text):
        raise NotAcceptable("Control characters are not allowed.")
    if text.encode(errors="ignore").decode() != text:
        # A terminal's undecodable bytes, for one.
        raise NotAcceptable("This is no text: it holds half characters.")
    return text
