"""Access tokens: what they look like, and our own."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, OctKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from mooring.accounts.users import Plan, Role
from mooring.errors import NotSignedIn

ISSUER = "mooring"
LONGEST = 8192  # nothing longer is even looked into

MALFORMED = "The access token is malformed."
FORGED = "The access token's signature does not fit."
EXPIRED = "The access token has expired. Refresh it, or sign in again."


@dataclass(frozen=True, slots=True)
class Claimed:
    """What an unverified token says of itself: enough to find the key that proves it, nothing else."""

    alg: str
    kid: str | None
    issuer: str


@dataclass(frozen=True, slots=True)
class Verified:
    user_id: int
    role: Role
    plan: Plan
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Ours: HS256, a few minutes long."""

    key: OctKey
    life: timedelta

    @classmethod
    def signed_with(cls, secret: str, life: timedelta) -> "AccessTokens":
        # A key of their own: what else is signed with the secret (URLs) must never pass for a token.
        derived = hmac.digest(secret.encode(), b"mooring access tokens", hashlib.sha256)
        return cls(OctKey.import_key(derived), life)

    def mint(self, user_id: int, role: str, plan: str, at: datetime) -> str:
        issued = int(at.timestamp())
        claims = {
            "iss": ISSUER,
            "sub": str(user_id),
            "role": role,
            "plan": plan,
            "iat": issued,
            "exp": issued + int(self.life.total_seconds()),
        }
        return jwt.encode({"alg": "HS256"}, claims, self.key, algorithms=["HS256"])

    def verify(self, token: str, at: datetime) -> Verified:
        claims = proven_claims(token, self.key, "HS256")
        expires_at = moment(claims.get("exp"))
        if expires_at <= at:
            raise NotSignedIn(EXPIRED)
        match claims:
            case {
                "iss": "mooring",
                "sub": str(sub),
                "role": "user" | "admin" as role,
                "plan": "free" | "premium" as plan,
            }:
                return Verified(int(sub), cast(Role, role), cast(Plan, plan), expires_at)
        raise NotSignedIn(MALFORMED)


def claimed(token: str) -> Claimed:
    if len(token) > LONGEST:
        raise NotSignedIn("The access token is too long.")
    header, payload, _ = _three_parts(token)
    match _json(header), _json(payload):
        case {"alg": str(alg), "kid": str(kid)}, {"iss": str(issuer)}:
            return Claimed(alg, kid, issuer)
        case {"alg": str(alg), **rest}, {"iss": str(issuer)} if "kid" not in rest:
            return Claimed(alg, None, issuer)
    raise NotSignedIn(MALFORMED)


def proven_claims(token: str, key: Key, alg: str) -> Mapping[str, Any]:
    """`alg` is what we accept of this key, whatever the token says."""
    try:
        return jwt.decode(token, key, registry=_Registry(algorithms=[alg], strict_check_header=False)).claims
    except (JoseError, ValueError, TypeError, RecursionError):
        raise NotSignedIn(FORGED) from None


def moment(claim: object) -> datetime:
    """A NumericDate. JSON has room for true, 1e400 and the year 10 000 too: none of them is a moment."""
    if isinstance(claim, int | float) and not isinstance(claim, bool):
        try:
            return datetime.fromtimestamp(claim, UTC)
        except (ValueError, OverflowError, OSError):
            pass
    raise NotSignedIn(MALFORMED)


class _Registry(JWSRegistry):
    max_header_length = LONGEST  # issuers put certificates there

    def get_alg(self, name: str) -> Any:
        # The same signature under its older name, which every issuer still uses and joserfc warns of.
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


def _three_parts(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise NotSignedIn(MALFORMED)
    return parts[0], parts[1], parts[2]


def _json(part: str) -> object:
    try:
        return json.loads(urlsafe_b64decode(part.encode()))
    except (ValueError, RecursionError):  # RecursionError: 8 KB hold some thousand opening brackets
        raise NotSignedIn(MALFORMED) from None
