"""Access tokens: ours are taken, everything that looks like them is not."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from conftest import HeldClock
from mooring.accounts.callers import MOST_REMEMBERED, Caller, Callers
from mooring.accounts.tokens import LONGEST, AccessTokens, claimed
from mooring.db.pool import Database
from mooring.errors import NotSignedIn

TOKENS = AccessTokens.signed_with("a secret of more than thirty-two characters", timedelta(minutes=15))
NO_DATABASE = cast(Database, None)  # our own tokens need none


@pytest.fixture
def callers(clock: HeldClock) -> Callers:
    return Callers(NO_DATABASE, TOKENS, clock)


def part(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def forged(header: object, claims: object, signature: bytes = b"") -> str:
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def claims_at(at: datetime, **more: object) -> dict[str, Any]:
    seconds = int(at.timestamp())
    ours = {"iss": "mooring", "sub": "1", "role": "admin", "plan": "free"}
    return {**ours, "iat": seconds, "exp": seconds + 60, **more}


async def test_a_token_tells_who_calls(callers: Callers, clock: HeldClock) -> None:
    token = TOKENS.mint(7, "admin", "premium", clock())
    assert callers.recall(token) is None
    assert await callers.admit(token) == Caller(7, is_admin=True, plan="premium")
    assert callers.recall(token) == Caller(7, is_admin=True, plan="premium")
    assert (await callers.admit(TOKENS.mint(8, "user", "free", clock()))).is_admin is False


def test_a_token_carries_what_is_promised(clock: HeldClock) -> None:
    header, payload, _ = TOKENS.mint(7, "user", "free", clock()).split(".")
    issued = int(clock().timestamp())
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"typ": "JWT", "alg": "HS256"}
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == {
        "iss": "mooring", "sub": "7", "role": "user", "plan": "free", "iat": issued, "exp": issued + 900
    }  # fmt: skip


async def test_a_remembered_token_expires_on_the_second(callers: Callers, clock: HeldClock) -> None:
    token = TOKENS.mint(7, "user", "free", clock())
    await callers.admit(token)
    clock.forward(seconds=899)
    assert callers.recall(token) is not None
    clock.forward(seconds=1)
    assert callers.recall(token) is None
    assert token not in callers.remembered
    with pytest.raises(NotSignedIn, match="expired"):
        await callers.admit(token)


async def test_only_so_many_tokens_are_remembered(callers: Callers, clock: HeldClock) -> None:
    caller = Caller(1, is_admin=False, plan="free")
    for number in range(MOST_REMEMBERED):
        callers.remembered[f"earlier {number}"] = caller, clock() + timedelta(hours=1)
    token = TOKENS.mint(7, "user", "free", clock())
    await callers.admit(token)
    assert len(callers.remembered) == MOST_REMEMBERED
    assert callers.recall(token) is not None
    assert callers.recall("earlier 0") is None
    assert callers.recall("earlier 1") is not None


async def test_a_token_that_failed_is_not_remembered(callers: Callers, clock: HeldClock) -> None:
    token = TOKENS.mint(7, "user", "free", clock())[:-4] + "AAAA"
    with pytest.raises(NotSignedIn, match="signature"):
        await callers.admit(token)
    assert not callers.remembered


async def test_another_secret_signs_nothing_for_us(callers: Callers, clock: HeldClock) -> None:
    theirs = AccessTokens.signed_with("another secret, just as long as the first one", timedelta(minutes=15))
    with pytest.raises(NotSignedIn, match="signature"):
        await callers.admit(theirs.mint(7, "admin", "premium", clock()))


async def test_the_secret_itself_is_not_the_key_of_tokens(callers: Callers, clock: HeldClock) -> None:
    """It also signs URLs: nothing signed with it directly may pass for a token."""
    key = OctKey.import_key(b"a secret of more than thirty-two characters")
    with pytest.raises(NotSignedIn, match="signature"):
        await callers.admit(jwt.encode({"alg": "HS256"}, claims_at(clock()), key))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "HS384", "RS256", "ES256", "", "HS256 "])
async def test_no_algorithm_but_ours_is_taken(callers: Callers, clock: HeldClock, alg: str) -> None:
    for signature in (b"", b"x" * 32):
        forgery = forged({"alg": alg}, claims_at(clock()), signature)
        with pytest.raises(NotSignedIn):
            await callers.admit(forgery)
        with pytest.raises(NotSignedIn, match="signature"):
            TOKENS.verify(forgery, clock())


async def test_our_own_key_under_another_algorithm_is_not_taken(callers: Callers, clock: HeldClock) -> None:
    for alg in ("HS384", "HS512"):
        token = jwt.encode({"alg": alg}, claims_at(clock()), TOKENS.key, algorithms=[alg])
        with pytest.raises(NotSignedIn):
            await callers.admit(token)
        with pytest.raises(NotSignedIn, match="signature"):
            TOKENS.verify(token, clock())


@pytest.mark.parametrize(
    "change",
    [
        {"role": "root"}, {"role": None}, {"role": ["admin"]}, {"plan": "gold"}, {"sub": 1}, {"sub": None},
        {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"exp": 1e300}, {"exp": float("inf")},
        {"exp": float("nan")}, {"exp": 10**4000}, {"exp": [1]},
        {"iss": "elsewhere"}, {"iss": None}, {"iss": 5},
    ],
)  # fmt: skip
async def test_claims_of_a_wrong_kind_are_refused_even_when_signed(
    callers: Callers, clock: HeldClock, change: dict[str, object]
) -> None:
    token = jwt.encode({"alg": "HS256"}, claims_at(clock(), **change), TOKENS.key)
    with pytest.raises(NotSignedIn):
        await callers.admit(token)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "\x00", "é.é.é", "=.=.=", " . . ",
        forged([], {}), forged({}, []), forged("alg", "iss"), forged({"alg": 5}, {"iss": "mooring"}),
        forged({"alg": "HS256", "kid": 5}, {"iss": "mooring"}),
        forged({"alg": "HS256", "kid": None}, {"iss": "mooring"}),
        forged({"alg": "HS256"}, b"\xff\xfe"), forged({"alg": "HS256"}, b"[" * 5000),
        forged({"alg": "HS256"}, b'{"iss":' * 800), forged({"alg": "HS256"}, b"1" * 5000),
        forged({"alg": "HS256", "crit": ["exp"]}, {"iss": "mooring"}),
        forged({"alg": "HS256", "b64": False, "crit": ["b64"]}, {"iss": "mooring"}),
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused_with_a_sentence(callers: Callers, token: str) -> None:
    with pytest.raises(NotSignedIn) as refused:
        await callers.admit(token)
    assert refused.value.message.endswith(".")


async def test_a_huge_token_is_refused_before_it_is_read(
    callers: Callers, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: object) -> None:
        raise AssertionError("it was read")

    token = jwt.encode({"alg": "HS256"}, claims_at(clock(), pad="x" * 100_000), TOKENS.key)
    monkeypatch.setattr(json, "loads", read)
    with pytest.raises(NotSignedIn, match="too long"):
        await callers.admit(token)
    with pytest.raises(NotSignedIn, match="too long"):
        await callers.admit("x" * (LONGEST + 1))


def says(refuse: Callable[[], object]) -> str:
    try:
        refuse()
    except NotSignedIn as refused:
        return refused.message
    return "taken"


@given(text=st.text(max_size=300))
def test_any_text_is_a_token_or_is_refused(text: str) -> None:
    assert says(lambda: claimed(text)) != "taken"


@given(position=st.integers(min_value=0), letter=st.sampled_from("ABCxyz019-_."))
def test_a_token_altered_anywhere_is_refused(position: int, letter: str) -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    token = TOKENS.mint(7, "user", "free", at)
    place = position % len(token)
    altered = token[:place] + letter + token[place + 1 :]
    if altered == token:
        return
    assert says(lambda: TOKENS.verify(altered, at)) != "taken"
