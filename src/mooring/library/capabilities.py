"""What lets a client upload that sends no headers of its own: a text in its address, for one user, kind and target."""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mooring.errors import UrlNotValid

LONGEST_LIFE = timedelta(days=1)
CAPABILITY_PATTERN = re.compile(
    r"(([0-9]{1,19})\.([a-z]{1,20})\.([A-Za-z0-9_-]{0,2100})\.([0-9]{1,11}))\.([A-Za-z0-9_-]{43})"
)


class Grant(NamedTuple):
    """Nothing but upload, and nothing but this."""

    user_id: int
    kind: str
    target: int | str | None  # a photo's album; a video's project, which is the client's own word
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CapabilityKey:
    """Derived from the house's secret for nothing but capabilities."""

    key: bytes

    @classmethod
    def derived_from(cls, secret: str) -> "CapabilityKey":
        return cls(hmac.digest(secret.encode(), b"mooring upload capabilities", hashlib.sha256))

    def write(self, grant: Grant) -> str:
        target = "" if grant.target is None else _text(json.dumps(grant.target).encode())
        what = f"{grant.user_id}.{grant.kind}.{target}.{int(grant.expires_at.timestamp())}"
        return f"{what}.{self._proof(what)}"

    def read(self, text: str, at: datetime) -> Grant:
        """Believed as a whole or not at all: what was altered in it is never looked at."""
        parts = CAPABILITY_PATTERN.fullmatch(text)
        if parts is None or not hmac.compare_digest(parts[6], self._proof(parts[1])):
            raise UrlNotValid("This upload address was not issued here, or it was altered. Ask for a new one.")
        expires_at = datetime.fromtimestamp(int(parts[5]), UTC)
        if expires_at <= at:
            raise UrlNotValid(f"This upload address lapsed at {expires_at.isoformat()}. Ask for a new one.")
        target = json.loads(urlsafe_b64decode(parts[4] + "=" * (-len(parts[4]) % 4))) if parts[4] else None
        return Grant(int(parts[2]), parts[3], target, expires_at)

    def _proof(self, what: str) -> str:
        return _text(hmac.digest(self.key, what.encode(), hashlib.sha256))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
