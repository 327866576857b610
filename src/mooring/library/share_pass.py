"""What a share link's token is made of, and the pass that whoever opened one has for a while."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mooring.derived_key import DerivedKey

TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits
PASS_PATTERN = re.compile(r"([0-9]{1,11})-([A-Za-z0-9_-]{43})")
PASS_LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Pass:
    text: str
    expires_at: datetime


class ShareKey(DerivedKey):
    purpose = b"mooring share links"

    def token(self, seed: str) -> str:
        """From a random seed, so that an answer kept for an Idempotency-Key holds the seed and not the token: neither
        a reader of the database nor one of its backups can open a link."""
        return self.proof(b"token " + seed.encode())

    def issue_pass(self, token_hash: bytes, at: datetime) -> Pass:
        expires_at = (at + PASS_LIFE).replace(microsecond=0)
        return Pass(f"{int(expires_at.timestamp())}-{self.proof(_opened(token_hash, expires_at))}", expires_at)

    def read_pass(self, text: str | None, token_hash: bytes, at: datetime) -> Pass | None:
        """None unless it is one of ours, for this link, and not over."""
        parts = PASS_PATTERN.fullmatch(text or "")
        if parts is None:
            return None
        expires_at = datetime.fromtimestamp(int(parts[1]), UTC)
        if expires_at <= at or not self.is_proven(_opened(token_hash, expires_at), parts[2]):
            return None
        return Pass(parts[0], expires_at)


def _opened(token_hash: bytes, until: datetime) -> bytes:
    return b"pass %d " % int(until.timestamp()) + token_hash


def hash_of(token: str) -> bytes | None:
    """None: we never gave out anything that looks like this. No slow hash: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).digest() if TOKEN_PATTERN.fullmatch(token) else None
