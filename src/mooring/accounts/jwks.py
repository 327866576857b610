"""Trusting the tokens of another issuer, by the public keys it shows."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jwt import JWTClaimsRegistry

from mooring.accounts.tokens import EXPIRED, FORGED, ISSUER, MALFORMED, Claimed, moment, proven_claims
from mooring.errors import NotSignedIn, SetupProblem

LEEWAY = timedelta(seconds=60)
ASK_AGAIN = timedelta(seconds=60)  # about a key we don't know; whoever sends made-up names must not make us ask more
ASK_AGAIN_WITHOUT_KEYS = timedelta(seconds=5)
STALE = timedelta(hours=1)  # after which known keys are asked for too, so that one that was withdrawn goes
ASK_SECONDS = 5.0
MOST_BYTES = 2**20
SUBJECT_MOST = 255  # OpenID Connect's own limit

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TrustedKey:
    kid: str | None
    algs: frozenset[str]
    key: Key


@dataclass(frozen=True, slots=True)
class Proven:
    subject: str
    expires_at: datetime


@dataclass(slots=True)
class TrustedKeys:
    """The issuer's keys as last seen: they stay good while the issuer is away."""

    url: str
    http: httpx.AsyncClient
    seen: Sequence[TrustedKey] = ()
    seen_at: datetime | None = None
    tried_at: datetime | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fitting(self, claim: Claimed, at: datetime) -> Sequence[TrustedKey]:
        known = self._known(claim)
        if not self._is_due(at, known) or (known and self.asking.locked()):
            return known
        async with self.asking:
            if self._is_due(at, self._known(claim)):
                await self._ask(at)
        return self._known(claim)

    def _known(self, claim: Claimed) -> Sequence[TrustedKey]:
        return [one for one in self.seen if claim.alg in one.algs and claim.kid in (None, one.kid)]

    def _is_due(self, at: datetime, known: Sequence[TrustedKey]) -> bool:
        if self.tried_at is None:
            return True
        if self.seen_at is None:
            return at - self.tried_at >= ASK_AGAIN_WITHOUT_KEYS
        return at - self.tried_at >= ASK_AGAIN and (not known or at - self.seen_at >= STALE)

    async def _ask(self, at: datetime) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                self.seen = read_keys(await self._download())
            self.seen_at = at
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("jwks_unavailable", url=self.url, error=f"{type(error).__name__}: {error}")
        self.tried_at = at

    async def _download(self) -> bytes:
        body = bytearray()
        async with self.http.stream("GET", self.url, headers={"accept": "application/json"}) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes")
        return bytes(body)


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    issuer: str
    audience: str
    keys: TrustedKeys

    async def verify(self, token: str, claim: Claimed, at: datetime) -> Proven:
        keys = await self.keys.fitting(claim, at)
        if not keys and self.keys.seen_at is None:
            raise NotSignedIn("The keys of the token's issuer can't be fetched right now. Try again.")
        if not keys:
            raise NotSignedIn("The issuer has no key that fits this access token.")
        claims = _proven_by_any(token, claim, keys)
        return self._judged(claims, at)

    def _judged(self, claims: dict[str, Any], at: datetime) -> Proven:
        rules = JWTClaimsRegistry(
            now=int(at.timestamp()),
            leeway=int(LEEWAY.total_seconds()),
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            rules.validate(claims)
        except ExpiredTokenError:
            raise NotSignedIn(EXPIRED) from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise NotSignedIn(f"The access token's claim '{error.claim}' is missing or not acceptable.") from None
        subject = claims["sub"]
        if len(subject) > SUBJECT_MOST or not subject.isprintable():
            raise NotSignedIn(MALFORMED)
        return Proven(subject, moment(claims["exp"]) + LEEWAY)


def trusted_issuer(url: str | None, issuer: str | None, audience: str | None, http: httpx.AsyncClient) -> TrustedIssuer:
    """From the three settings. Half of them would trust too much: tokens made for any audience, say."""
    if not (url and issuer and audience):
        raise SetupProblem("Set MOORING_AUTH_JWKS_URL, MOORING_AUTH_ISSUER and MOORING_AUTH_AUDIENCE together.")
    if not url.startswith(("https://", "http://")):
        raise SetupProblem("MOORING_AUTH_JWKS_URL must begin with https:// (or http://, on a network you trust).")
    if issuer == ISSUER:
        raise SetupProblem(f"MOORING_AUTH_ISSUER can't be '{ISSUER}': that is what our own tokens say.")
    return TrustedIssuer(issuer, audience, TrustedKeys(url, http))


def read_keys(body: bytes) -> Sequence[TrustedKey]:
    """Those that may sign tokens; `ValueError` where this is no key set. What we can't use is passed over."""
    try:
        match json.loads(body):
            case {"keys": [*entries]}:
                return [key for entry in entries if isinstance(entry, dict) and (key := _read_key(entry))]
    except RecursionError:
        pass
    raise ValueError("not a JSON Web Key Set")


def _read_key(entry: dict[str, Any]) -> TrustedKey | None:
    """The algorithm follows from the key's own type. A symmetric key has no business in a public list: HS256
    with a public key for its secret is the oldest forgery there is."""
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key, algs = _typed(entry)
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return None
    algs = frozenset(alg for alg in algs if entry.get("alg", alg) == alg)
    kid = entry.get("kid")
    return TrustedKey(kid if isinstance(kid, str) else None, algs, key) if algs else None


def _typed(entry: dict[str, Any]) -> tuple[Key, frozenset[str]]:
    public = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
    match public:
        case {"kty": "RSA", "n": str(n)} if len(n) >= 342:  # 2048 bits
            return RSAKey.import_key(public), frozenset({"RS256", "PS256"})  # type: ignore[arg-type]
        case {"kty": "EC", "crv": "P-256"}:
            return ECKey.import_key(public), frozenset({"ES256"})  # type: ignore[arg-type]
        case {"kty": "OKP", "crv": "Ed25519"}:
            return OKPKey.import_key(public), frozenset({"EdDSA", "Ed25519"})  # type: ignore[arg-type]
    raise ValueError("a key of another type")


def _proven_by_any(token: str, claim: Claimed, keys: Sequence[TrustedKey]) -> dict[str, Any]:
    """Several only where the token doesn't name its key."""
    for one in keys:
        try:
            return dict(proven_claims(token, one.key, "Ed25519" if claim.alg == "EdDSA" else claim.alg))
        except NotSignedIn:
            continue
    raise NotSignedIn(FORGED)
