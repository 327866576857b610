"""Registering, signing in, refreshing and signing out, on the real database."""

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import ClassVar, Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from conftest import HeldClock
from mooring.accounts import sessions
from mooring.accounts.passwords import Passwords
from mooring.accounts.service import Accounts
from mooring.accounts.sessions import purge_sessions
from mooring.accounts.throttle import LoginThrottle
from mooring.accounts.tokens import AccessTokens
from mooring.accounts.users import create_user, user_by_id
from mooring.db.pool import Database
from mooring.errors import (
    DatabaseUnavailable,
    EmailTaken,
    NotAcceptable,
    NotSignedIn,
    SessionEnded,
    TooManyAttempts,
    WrongCredentials,
)

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"
TOKENS = AccessTokens.signed_with("a secret of more than thirty-two characters", timedelta(minutes=15))


def quick() -> Passwords:
    """Passwords in a millisecond: their strength is not what most of these tests are about."""
    return Passwords(PasswordHasher(memory_cost=64, time_cost=1, parallelism=1))


@pytest.fixture
async def accounts(db: Database, clock: HeldClock) -> AsyncIterator[Accounts]:
    accounts = Accounts(db, TOKENS, timedelta(days=30), clock, quick())
    yield accounts
    accounts.close()


@pytest.fixture
async def refresh_token(accounts: Accounts) -> str:
    """Ada's, just signed in."""
    await accounts.register("ada@example.org", PASSWORD)
    return (await accounts.sign_in("ada@example.org", PASSWORD, HERE)).refresh_token


async def outcomes(*calls: Awaitable[object]) -> Counter[str]:
    results = await asyncio.gather(*calls, return_exceptions=True)
    return Counter(type(result).__name__ for result in results)


# ── registering ──────────────────────────────────────────────────────────────────────────────────


async def test_an_email_is_kept_as_given_and_compared_in_lower_case(accounts: Accounts, clock: HeldClock) -> None:
    user = await accounts.register("Ada@Example.org", PASSWORD)
    assert (user.email, user.role, user.plan, user.created_at) == ("Ada@Example.org", "user", "free", clock())
    with pytest.raises(EmailTaken):
        await accounts.register("ada@EXAMPLE.org", "another password")
    assert await accounts.sign_in("ADA@example.ORG", PASSWORD, HERE)


async def test_of_many_who_register_one_email_at_once_one_has_it(accounts: Accounts) -> None:
    calls = (accounts.register("ada@example.org", f"password {n}") for n in range(20))
    assert await outcomes(*calls) == {"User": 1, "EmailTaken": 19}


async def test_an_admin_is_created_with_a_plan(db: Database) -> None:
    user = await create_user(db, "root@example.org", PASSWORD, "admin", "premium", passwords=quick())
    assert (user.role, user.plan, user.is_active) == ("admin", "premium", True)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("", PASSWORD), ("ada", PASSWORD), ("ada@", PASSWORD), ("@b", PASSWORD), ("a b@c", PASSWORD),
        ("a@b@c", PASSWORD), ("a@b..c", PASSWORD), ("a@b.", PASSWORD), ("a@b\n", PASSWORD),
        ("a\x00@b", PASSWORD), ("a@" + "b" * 253, PASSWORD), ("a@b", "short"),
        ("a@b", "x" * 1025), ("a@b", "nul\x00password"),
        ("a@b", "\ud800" * 8), ("\ud800@b", PASSWORD),
    ],
)  # fmt: skip
async def test_what_is_no_email_or_no_password_makes_no_user(db: Database, email: str, password: str) -> None:
    with pytest.raises(NotAcceptable):
        await create_user(db, email, password, passwords=quick())
    assert await db.fetchval("SELECT count(*) FROM users") == 0


async def test_the_longest_and_the_strangest_are_fine(accounts: Accounts) -> None:
    email, password = "a" * 64 + "@" + "b" * 189, "비밀번호 🔑 " * 100
    await accounts.register(email, password)
    assert await accounts.sign_in(email, password, HERE)


# ── passwords ────────────────────────────────────────────────────────────────────────────────────


async def test_passwords_are_argon2id_as_owasp_asks_and_not_on_the_loop() -> None:
    passwords = Passwords()
    password_hash = await passwords.hash(PASSWORD)
    cost = extract_parameters(password_hash)
    assert (cost.type.name, cost.memory_cost, cost.time_cost, cost.parallelism) == ("ID", 19_456, 2, 1)
    assert await passwords.match(PASSWORD, password_hash)
    assert not await passwords.match(PASSWORD + "!", password_hash)
    assert any(thread.name.startswith("argon2") for thread in threading.enumerate())
    passwords.close()


class Verified(PasswordHasher):
    """Remembers what it was asked to verify against."""

    asked: ClassVar[list[str]] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.asked.append(str(hash))
        return super().verify(hash, password)


async def test_an_unknown_email_takes_as_long_as_a_wrong_password() -> None:
    """Both are verified, against hashes of one cost."""
    Verified.asked.clear()
    passwords = Passwords(Verified(memory_cost=19_456, time_cost=2, parallelism=1))
    known = await passwords.hash(PASSWORD)
    for password_hash in (known, None):
        assert not await passwords.match("wrong password", password_hash)
    wrong, unknown = (extract_parameters(one) for one in Verified.asked)
    assert wrong == unknown
    passwords.close()


async def test_a_password_is_the_same_from_every_keyboard() -> None:
    passwords = quick()
    composed, decomposed = "caf\u00e9 creme", "cafe\u0301 creme"
    assert await passwords.match(decomposed, await passwords.hash(composed))
    passwords.close()


async def test_a_password_is_hashed_anew_when_the_cost_has_changed(accounts: Accounts, db: Database) -> None:
    earlier = Passwords(PasswordHasher(memory_cost=32, time_cost=1, parallelism=1))
    user = await create_user(db, "ada@example.org", PASSWORD, passwords=earlier)
    await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    renewed = await user_by_id(db, user.id)
    assert renewed is not None
    assert renewed.password_hash is not None
    assert extract_parameters(renewed.password_hash).memory_cost == 64
    assert await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    earlier.close()


# ── signing in ───────────────────────────────────────────────────────────────────────────────────


async def test_signing_in_gives_a_token_that_tells_who_calls(accounts: Accounts, clock: HeldClock) -> None:
    user = await accounts.register("ada@example.org", PASSWORD)
    tokens = await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    assert TOKENS.verify(tokens.access_token, clock()).user_id == user.id
    assert tokens.expires_in == 900


async def test_wrong_password_and_unknown_email_sound_the_same(accounts: Accounts, refresh_token: str) -> None:
    with pytest.raises(WrongCredentials) as wrong:
        await accounts.sign_in("ada@example.org", "wrong password", HERE)
    with pytest.raises(WrongCredentials) as unknown:
        await accounts.sign_in("bob@example.org", PASSWORD, HERE)
    assert wrong.value.message == unknown.value.message


async def test_a_deactivated_user_neither_signs_in_nor_refreshes(
    accounts: Accounts, db: Database, refresh_token: str
) -> None:
    user_id = await db.fetchval("UPDATE users SET is_active = false RETURNING id")
    with pytest.raises(WrongCredentials):
        await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    with pytest.raises(SessionEnded):
        await accounts.refresh(refresh_token)
    with pytest.raises(NotSignedIn):
        await accounts.describe(user_id)


async def test_a_user_of_another_issuer_has_no_password_to_guess(accounts: Accounts, db: Database) -> None:
    await db.execute("INSERT INTO users (issuer, subject) VALUES ('https://theirs', 'ada@example.org')")
    with pytest.raises(WrongCredentials):
        await accounts.sign_in("ada@example.org", PASSWORD, HERE)


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────


async def guess(accounts: Accounts, email: str, address: str = HERE) -> object:
    return await accounts.sign_in(email, "wrong password", address)


async def test_ten_failures_close_this_email_from_here_and_nowhere_else(accounts: Accounts, refresh_token: str) -> None:
    for _ in range(10):
        with pytest.raises(WrongCredentials):
            await guess(accounts, "ada@example.org")
    with pytest.raises(TooManyAttempts) as refused:
        await accounts.sign_in("ADA@example.org", PASSWORD, HERE)
    assert 290 <= refused.value.retry_after <= 300
    assert await accounts.sign_in("ada@example.org", PASSWORD, "192.0.2.2")
    with pytest.raises(WrongCredentials):
        await guess(accounts, "bob@example.org")


async def test_success_forgets_the_failures_before_it(accounts: Accounts, refresh_token: str) -> None:
    for _ in range(3):
        for _ in range(9):
            with pytest.raises(WrongCredentials):
                await guess(accounts, "ada@example.org")
        assert await accounts.sign_in("ada@example.org", PASSWORD, HERE)


async def test_a_hundred_failures_close_an_address(accounts: Accounts, refresh_token: str) -> None:
    counted = await outcomes(*(guess(accounts, f"{n}@example.org") for n in range(130)))
    assert 100 <= counted["WrongCredentials"] <= 101  # two are checked at a time
    with pytest.raises(TooManyAttempts):
        await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    assert await accounts.sign_in("ada@example.org", PASSWORD, "192.0.2.2")


async def test_a_burst_of_guesses_does_not_slip_past_the_throttle(accounts: Accounts, refresh_token: str) -> None:
    counted = await outcomes(*(guess(accounts, "ada@example.org") for _ in range(60)))
    assert 10 <= counted["WrongCredentials"] <= 11
    assert counted["WrongCredentials"] + counted["TooManyAttempts"] == 60


async def test_many_who_know_the_password_are_never_held_up(accounts: Accounts, refresh_token: str) -> None:
    calls = (accounts.sign_in("ada@example.org", PASSWORD, HERE) for _ in range(40))
    assert await outcomes(*calls) == {"Tokens": 40}


def test_an_ipv6_network_counts_as_one_address() -> None:
    throttle = LoginThrottle()
    for n in range(10):
        throttle.failed("ada@example.org", f"2001:db8::{n:x}")
    with pytest.raises(TooManyAttempts):
        throttle.check("ada@example.org", "2001:db8::ffff")
    throttle.check("ada@example.org", "2001:db8:0:1::1")


# ── refreshing ───────────────────────────────────────────────────────────────────────────────────


async def test_a_refresh_spends_its_token_and_gives_the_next(
    accounts: Accounts, db: Database, clock: HeldClock, refresh_token: str
) -> None:
    await db.execute("UPDATE users SET plan = 'premium', role = 'admin'")
    second = await accounts.refresh(refresh_token)
    proven = TOKENS.verify(second.access_token, clock())
    assert (proven.role, proven.plan) == ("admin", "premium")  # what the row says now
    assert await accounts.refresh(second.refresh_token)


async def test_only_the_hash_of_a_refresh_token_is_stored(db: Database, refresh_token: str) -> None:
    row = await db.fetchrow("SELECT token_hash, refresh_tokens::text AS everything FROM refresh_tokens")
    assert row is not None
    assert row["token_hash"] == hashlib.sha256(refresh_token.encode()).digest()
    assert refresh_token not in row["everything"]


async def test_a_spent_token_shown_again_ends_its_whole_family_and_no_other(
    accounts: Accounts, refresh_token: str
) -> None:
    other = await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    second = await accounts.refresh(refresh_token)
    third = await accounts.refresh(second.refresh_token)
    with pytest.raises(SessionEnded):
        await accounts.refresh(refresh_token)
    with pytest.raises(SessionEnded):
        await accounts.refresh(third.refresh_token)
    assert await accounts.refresh(other.refresh_token)


async def test_of_two_refreshes_at_once_one_wins_and_the_family_ends(
    accounts: Accounts, db: Database, refresh_token: str
) -> None:
    results = await asyncio.gather(
        accounts.refresh(refresh_token), accounts.refresh(refresh_token), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in results) == ["SessionEnded", "Tokens"]
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 0


async def test_a_family_that_ends_takes_the_token_just_being_given_with_it(
    accounts: Accounts, db: Database, refresh_token: str
) -> None:
    """The thief refreshes the newest token, the owner shows the spent one: in any order, none lives on."""
    for _ in range(10):
        newest = await accounts.sign_in("ada@example.org", PASSWORD, HERE)
        spent = newest.refresh_token
        for _ in range(3):
            newest = await accounts.refresh(newest.refresh_token)
        counted = await outcomes(
            accounts.refresh(newest.refresh_token),
            accounts.refresh(spent),
            accounts.refresh(newest.refresh_token),
            accounts.refresh(spent),
        )
        assert counted["SessionEnded"] >= 3
    assert await db.fetchval("SELECT count(*) FROM refresh_tokens") == 1  # the fixture's own


async def test_the_end_of_a_family_waits_for_the_refresh_under_way(
    accounts: Accounts, db: Database, refresh_token: str
) -> None:
    """Scripted: a refresh has added its token and not committed yet when the spent one comes."""
    newest = (await accounts.refresh(refresh_token)).refresh_token
    async with db.transaction() as tx:
        await sessions._hold_family(tx, newest)
        added = await sessions._spend(tx, newest, accounts.clock(), timedelta(days=30))
        reuse = asyncio.create_task(accounts.refresh(refresh_token))
        await _until_someone_waits(db)
    with pytest.raises(SessionEnded):
        await reuse
    assert added is not None
    with pytest.raises(SessionEnded):
        await accounts.refresh(added.refresh_token)


async def _until_someone_waits(db: Database) -> None:
    while not await db.fetchval(
        """SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
           WHERE NOT granted AND datname = current_database()"""
    ):
        await asyncio.sleep(0)


async def test_a_refresh_cut_off_in_the_middle_leaves_the_token_unspent(
    accounts: Accounts, db: Database, refresh_token: str
) -> None:
    async def cut_off() -> None:
        async with db.transaction() as tx:
            await sessions._spend(tx, refresh_token, accounts.clock(), timedelta(days=30))
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable):
        await cut_off()
    assert await accounts.refresh(refresh_token)


async def test_a_refresh_token_lapses(accounts: Accounts, clock: HeldClock, refresh_token: str) -> None:
    clock.forward(days=30)
    with pytest.raises(SessionEnded):
        await accounts.refresh(refresh_token)


@pytest.mark.parametrize("token", ["", "unknown", "비밀", "\x00", "x" * 10_000])
async def test_a_token_nobody_gave_refreshes_nothing(accounts: Accounts, token: str) -> None:
    with pytest.raises(SessionEnded):
        await accounts.refresh(token)


async def test_signing_out_ends_the_session_and_may_be_said_twice(accounts: Accounts, refresh_token: str) -> None:
    second = await accounts.refresh(refresh_token)
    await accounts.sign_out(refresh_token)  # even by a spent token
    await accounts.sign_out(refresh_token)
    with pytest.raises(SessionEnded):
        await accounts.refresh(second.refresh_token)


async def test_purging_forgets_what_lapsed_a_few_at_a_time(
    accounts: Accounts, db: Database, clock: HeldClock, refresh_token: str
) -> None:
    for _ in range(4):
        await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    clock.forward(days=29)
    lasting = await accounts.sign_in("ada@example.org", PASSWORD, HERE)
    clock.forward(days=1)
    both = await asyncio.gather(purge_sessions(db, clock(), 3), purge_sessions(db, clock(), 3))
    assert sum(both) + await purge_sessions(db, clock(), 3) == 5
    assert await purge_sessions(db, clock(), 3) == 0
    assert await accounts.refresh(lasting.refresh_token)
