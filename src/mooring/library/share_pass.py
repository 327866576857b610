"""What a share link's token is made of, and the pass that whoever opened one has for a while."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits
PASS_PATTERN = re.compile(r"([0-9]{1,11})-([A-Za-z0-9_-]{43})")
PASS_LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Pass:
    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ShareKey:
    """Derived from the house's secret for nothing but share links."""

    key: bytes

    @classmethod
    def derived_from(cls, secret: str) -> "ShareKey":
        return cls(hmac.digest(secret.encode(), b"mooring share links", hashlib.sha256))

    def token(self, seed: str) -> str:
        """From a random seed, so that an answer kept for an Idempotency-Key holds the seed and not the token: neither
        a reader of the database nor one of its backups can open a link."""
        return _text(hmac.digest(self.key, b"token " + seed.encode(), hashlib.sha256))

    def issue_pass(self, token_hash: bytes, at: datetime) -> Pass:
        expires_at = (at + PASS_LIFE).replace(microsecond=0)
        return Pass(f"{int(expires_at.timestamp())}-{self._proof(token_hash, expires_at)}", expires_at)

    def read_pass(self, text: str | None, token_hash: bytes, at: datetime) -> Pass | None:
        """None unless it is one of ours, for this link, and not over."""
        parts = PASS_PATTERN.fullmatch(text or "")
        if parts is None:
            return None
        expires_at = datetime.fromtimestamp(int(parts[1]), UTC)
        if expires_at <= at or not hmac.compare_digest(parts[2], self._proof(token_hash, expires_at)):
            return None
        return Pass(parts[0], expires_at)

    def _proof(self, token_hash: bytes, expires_at: datetime) -> str:
        what = b"pass %d " % int(expires_at.timestamp()) + token_hash
        return _text(hmac.digest(self.key, what, hashlib.sha256))


def hash_of(token: str) -> bytes | None:
    """None: we never gave out anything that looks like this. No slow hash: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).digest() if TOKEN_PATTERN.fullmatch(token) else None


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
