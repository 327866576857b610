"""What lets a client upload that sends no headers of its own: a text in its address, for one user, kind and target."""

import json
import re
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mooring.derived_key import DerivedKey, text_of
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


class CapabilityKey(DerivedKey):
    purpose = b"mooring upload capabilities"

    def write(self, grant: Grant) -> str:
        target = "" if grant.target is None else text_of(json.dumps(grant.target).encode())
        what = f"{grant.user_id}.{grant.kind}.{target}.{int(grant.expires_at.timestamp())}"
        return f"{what}.{self.proof(what.encode())}"

    def read(self, text: str, at: datetime) -> Grant:
        """Believed as a whole or not at all: what was altered in it is never looked at."""
        parts = CAPABILITY_PATTERN.fullmatch(text)
        if parts is None or not self.is_proven(parts[1].encode(), parts[6]):
            raise UrlNotValid("This upload address was not issued here, or it was altered. Ask for a new one.")
        expires_at = datetime.fromtimestamp(int(parts[5]), UTC)
        if expires_at <= at:
            raise UrlNotValid(f"This upload address lapsed at {expires_at.isoformat()}. Ask for a new one.")
        target = json.loads(urlsafe_b64decode(parts[4] + "=" * (-len(parts[4]) % 4))) if parts[4] else None
        return Grant(int(parts[2]), parts[3], target, expires_at)
