"""Another issuer's tokens, checked against keys fetched from a real HTTP server."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from conftest import HeldClock
from mooring.accounts.callers import Caller, Callers
from mooring.accounts.jwks import read_keys, trusted_issuer
from mooring.accounts.tokens import AccessTokens
from mooring.db.pool import Database
from mooring.errors import NotSignedIn, SetupProblem

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
PSS = RSAKey.generate_key(2048, {"kid": "pss", "alg": "PS256", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
THEIRS = "https://login.example.org/"


@dataclass
class Issuer:
    """An HTTP server with keys. `answer` says what it sends; None hangs up instead."""

    url: str = ""
    asked: int = 0
    keys: list[dict[str, Any]] = field(default_factory=lambda: [dict(k.as_dict(private=False)) for k in (RSA, EC, ED)])
    answer: Callable[["Issuer"], bytes | None] = lambda issuer: json.dumps({"keys": issuer.keys}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = self.answer(self)
        if body is not None:
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
    yield issuer
    server.close()
    await server.wait_closed()


@pytest.fixture
async def callers(db: Database, clock: HeldClock, issuer: Issuer) -> AsyncIterator[Callers]:
    tokens = AccessTokens.signed_with("a secret of more than thirty-two characters", timedelta(minutes=15))
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Callers(db, tokens, clock, trusted_issuer(issuer.url, THEIRS, "mooring-app", http))


def token(clock: HeldClock, key: Key = RSA, alg: str = "RS256", *, kid: str | None = None, **more: object) -> str:
    seconds = int(clock().timestamp())
    claims = {
        "iss": THEIRS,
        "sub": "ada",
        "aud": "mooring-app",
        "iat": seconds,
        "exp": seconds + 3600,
        **more,
    }
    header = {"alg": alg, "kid": kid or key.kid}
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode({k: v for k, v in header.items() if v}, claims, key, algorithms=[alg])


# ── who is let in ────────────────────────────────────────────────────────────────────────────────


async def test_a_user_is_made_at_first_sight_and_known_afterwards(
    callers: Callers, clock: HeldClock, db: Database
) -> None:
    first = await callers.admit(token(clock, role="admin", plan="premium"))
    assert (first.is_admin, first.plan) == (False, "free")  # our row says, not their token
    assert (await callers.admit(token(clock, jti="another"))).user_id == first.user_id
    assert (await callers.admit(token(clock, sub="bob"))).user_id != first.user_id
    rows = await db.fetch("SELECT issuer, subject, email, created_at FROM users ORDER BY id")
    assert [tuple(row) for row in rows] == [(THEIRS, sub, None, clock()) for sub in ("ada", "bob")]


async def test_fifty_first_sights_at_once_make_one_user(callers: Callers, clock: HeldClock, db: Database) -> None:
    seen = await asyncio.gather(*(callers.admit(token(clock, jti=str(n))) for n in range(50)))
    assert len({caller.user_id for caller in seen}) == 1
    assert await db.fetchval("SELECT count(*) FROM users") == 1
    assert await db.fetchval("SELECT count(*) FROM quotas") == 1


async def test_what_an_admin_changes_counts_within_a_minute(callers: Callers, clock: HeldClock, db: Database) -> None:
    ada = token(clock)
    user = await callers.admit(ada)
    await db.execute("UPDATE users SET role = 'admin', plan = 'premium'")
    assert callers.recall(ada) == user
    clock.forward(seconds=60)
    assert callers.recall(ada) is None
    assert await callers.admit(ada) == Caller(user.user_id, is_admin=True, plan="premium")
    await db.execute("UPDATE users SET is_active = false")
    with pytest.raises(NotSignedIn, match="deactivated"):
        await callers.admit(ada)


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (PSS, "PS256"), (EC, "ES256"), (ED, "Ed25519")]
)
async def test_every_usual_algorithm_is_taken(
    callers: Callers, clock: HeldClock, issuer: Issuer, key: Key, alg: str
) -> None:
    issuer.keys.append(dict(PSS.as_dict(private=False)))
    assert await callers.admit(token(clock, key, alg))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # joserfc says so while the test signs
async def test_eddsa_is_taken_under_the_name_all_issuers_use(callers: Callers, clock: HeldClock) -> None:
    assert await callers.admit(token(clock, ED, "EdDSA"))


async def test_a_token_that_names_no_key_is_tried_with_those_that_fit(
    callers: Callers, clock: HeldClock, issuer: Issuer
) -> None:
    issuer.keys = [{k: v for k, v in key.as_dict(private=False).items() if k != "kid"} for key in (PSS, RSA, EC)]
    nameless = RSAKey.import_key({k: v for k, v in RSA.as_dict(private=True).items() if k != "kid"})
    assert await callers.admit(token(clock, nameless))


# ── who is not ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "another-app"}, "aud"), ({"aud": ["another-app"]}, "aud"), ({"aud": ...}, "aud"),
        ({"aud": 5}, "aud"),
        ({"aud": []}, "aud"), ({"exp": ...}, "exp"), ({"exp": "soon"}, "exp"), ({"exp": True}, "exp"),
        ({"exp": 10**30}, "malformed"), ({"sub": ...}, "sub"), ({"sub": ""}, "sub"), ({"sub": 5}, "sub"),
        ({"sub": "nul\x00"}, "malformed"), ({"sub": "x" * 256}, "malformed"), ({"nbf": "later"}, "nbf"),
        ({"iss": "https://login.example.org"}, "not trusted"), ({"iss": "mooring"}, "signature"),
    ],
)  # fmt: skip
async def test_a_token_with_other_claims_is_refused(
    callers: Callers, clock: HeldClock, db: Database, claims: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotSignedIn, match=why):
        await callers.admit(token(clock, **claims))
    assert await db.fetchval("SELECT count(*) FROM users") == 0


async def test_clocks_may_differ_by_a_minute_and_no_more(callers: Callers, clock: HeldClock) -> None:
    now = int(clock().timestamp())
    assert await callers.admit(token(clock, exp=now - 59, jti="just expired"))
    assert await callers.admit(token(clock, nbf=now + 60, iat=now + 60))
    assert await callers.admit(token(clock, aud=["another-app", "mooring-app"]))
    with pytest.raises(NotSignedIn, match="expired"):
        await callers.admit(token(clock, exp=now - 61))
    with pytest.raises(NotSignedIn, match="nbf"):
        await callers.admit(token(clock, nbf=now + 61))


async def test_their_token_is_not_recalled_after_it_expired(callers: Callers, clock: HeldClock) -> None:
    short = token(clock, exp=int(clock().timestamp()) - 30)
    await callers.admit(short)
    clock.forward(seconds=29)
    assert callers.recall(short) is not None
    clock.forward(seconds=1)
    assert callers.recall(short) is None


async def test_a_public_key_is_nobodys_secret(callers: Callers, clock: HeldClock) -> None:
    """HS256 signed with the public RSA key, in every form an attacker finds it in."""
    public = RSA.as_dict(private=False)
    forms = [RSA.as_pem(private=False), RSA.as_pem(private=False).strip(), RSA.as_der(private=False),
             json.dumps(public).encode(), str(public["n"]).encode()]  # fmt: skip
    for form in forms:
        with pytest.raises(NotSignedIn, match="no key that fits"):
            await callers.admit(hs256(clock, form, iss=THEIRS))
        with pytest.raises(NotSignedIn, match="signature"):
            await callers.admit(hs256(clock, form, iss="mooring", role="admin", plan="premium", sub="1"))


def hs256(clock: HeldClock, secret: bytes, **more: object) -> str:
    """By hand: a library would refuse to sign with such a secret."""
    seconds = int(clock().timestamp())
    claims = {"sub": "ada", "aud": "mooring-app", "iat": seconds, "exp": seconds + 3600, **more}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "rsa"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


async def test_a_symmetric_key_among_theirs_signs_nothing(callers: Callers, clock: HeldClock, issuer: Issuer) -> None:
    shared = OctKey.generate_key(256, {"kid": "oct"})
    issuer.keys.append(dict(shared.as_dict()))
    with pytest.raises(NotSignedIn, match="no key"):
        await callers.admit(token(clock, shared, "HS256"))


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256", "EdDSA", "RS1", "RS512", ""])
async def test_the_algorithm_follows_from_the_key_and_not_from_the_token(
    callers: Callers, clock: HeldClock, alg: str
) -> None:
    header, payload, signature = token(clock).split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "rsa"}).encode()).decode().rstrip("=")
    for end in (signature, ""):
        with pytest.raises(NotSignedIn):
            await callers.admit(f"{forged}.{payload}.{end}")
    with pytest.raises(NotSignedIn, match="signature"):
        await callers.admit(f"{header}.{payload}.{signature[:-8]}AAAAAAAA")


async def test_a_key_that_says_its_algorithm_serves_no_other(
    callers: Callers, clock: HeldClock, issuer: Issuer
) -> None:
    issuer.keys = [dict(PSS.as_dict(private=False))]
    bare = RSAKey.import_key({k: v for k, v in PSS.as_dict(private=True).items() if k not in ("alg", "use")})
    with pytest.raises(NotSignedIn, match="no key that fits"):
        await callers.admit(token(clock, bare, "RS256"))


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "rsa\x00", "' OR 1=1 --", "http://169.254.169.254/", "RSA", "x" * 2000]
)
async def test_a_made_up_key_name_is_only_ever_compared(
    callers: Callers, clock: HeldClock, issuer: Issuer, kid: str
) -> None:
    bare = RSAKey.import_key({k: v for k, v in RSA.as_dict(private=True).items() if k != "kid"})
    with pytest.raises(NotSignedIn, match="no key that fits"):
        await callers.admit(token(clock, bare, kid=kid))
    assert issuer.asked == 1


async def test_keys_and_addresses_inside_a_token_are_not_believed(
    callers: Callers, clock: HeldClock, issuer: Issuer
) -> None:
    own = RSAKey.generate_key(2048, {"kid": "rsa"})
    seconds = int(clock().timestamp())
    claims = {"iss": THEIRS, "sub": "ada", "aud": "mooring-app", "exp": seconds + 60}
    header = {"alg": "RS256", "kid": "rsa", "jwk": own.as_dict(private=False), "jku": issuer.url + "/evil"}
    roomy = JWSRegistry(algorithms=["RS256"])
    roomy.max_header_length = 8192
    with pytest.raises(NotSignedIn, match="signature"):
        await callers.admit(jwt.encode(header, claims, own, registry=roomy))
    assert issuer.asked == 1


# ── fetching the keys ────────────────────────────────────────────────────────────────────────────


async def test_keys_are_fetched_once(callers: Callers, clock: HeldClock, issuer: Issuer) -> None:
    await asyncio.gather(*(callers.admit(token(clock, jti=str(n))) for n in range(20)))
    assert issuer.asked == 1


async def test_an_unknown_key_is_asked_for_at_most_once_a_minute(
    callers: Callers, clock: HeldClock, issuer: Issuer
) -> None:
    await callers.admit(token(clock))
    issuer.keys.append(dict(PSS.as_dict(private=False)))
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            await callers.admit(token(clock, PSS, "PS256"))
    assert issuer.asked == 1
    clock.forward(seconds=60)
    await asyncio.gather(*(callers.admit(token(clock, PSS, "PS256", jti=str(n))) for n in range(10)))
    assert issuer.asked == 2


async def test_known_keys_serve_while_the_issuer_is_away(callers: Callers, clock: HeldClock, issuer: Issuer) -> None:
    await callers.admit(token(clock))
    for away in (b"", b"<html>", b"[" * 5000, b'{"keys": 5}', b"x" * 2**21, None):
        issuer.answer = lambda _, away=away: away  # type: ignore[misc]
        clock.forward(hours=2)
        assert await callers.admit(token(clock))
    assert issuer.asked == 7


async def test_a_key_that_was_withdrawn_is_not_trusted_for_ever(
    callers: Callers, clock: HeldClock, issuer: Issuer
) -> None:
    await callers.admit(token(clock))
    issuer.keys = []
    clock.forward(minutes=61)
    with pytest.raises(NotSignedIn, match="no key that fits"):
        await callers.admit(token(clock))


async def test_an_issuer_away_from_the_start_is_asked_again_soon(
    callers: Callers, clock: HeldClock, issuer: Issuer
) -> None:
    there, issuer.answer = issuer.answer, lambda _: None
    for _ in range(5):
        with pytest.raises(NotSignedIn, match="can't be fetched"):
            await callers.admit(token(clock))
    assert issuer.asked == 1
    issuer.answer = there
    clock.forward(seconds=5)
    assert await callers.admit(token(clock))


def test_keys_that_can_not_be_used_are_passed_over() -> None:
    good = dict(EC.as_dict(private=False))
    small = {"kty": "RSA", "n": "w" * 171, "e": "AQAB"}  # 1024 bits
    entries: list[object] = [
        5, None, [], {}, {"kty": "RSA"}, {"kty": "XX"}, small, {**good, "use": "enc"}, {**good, "x": "!"},
        {**good, "x": 5},
        {**good, "y": "AAAA"}, {**good, "crv": "P-384"}, {**good, "alg": "HS256"}, {**good, "alg": ["ES256"]},
        dict(ECKey.generate_key("P-384").as_dict(private=False)), good,
    ]  # fmt: skip
    assert [key.kid for key in read_keys(json.dumps({"keys": entries}).encode())] == ["ec"]


@pytest.mark.parametrize(
    "half",
    [
        ("https://x", None, None), ("https://x", "https://y", None), (None, "i", "a"),
        ("file:///x", "i", "a"), ("https://x", "mooring", "a"),
    ],
)  # fmt: skip
async def test_half_a_configuration_is_refused(half: tuple[str | None, str | None, str | None]) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(SetupProblem):
            trusted_issuer(*half, http)


async def test_without_a_trusted_issuer_only_our_tokens_count(callers: Callers, clock: HeldClock) -> None:
    ours_only = replace(callers, issuer=None)
    with pytest.raises(NotSignedIn, match="not trusted"):
        await ours_only.admit(token(clock))
