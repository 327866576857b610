"""Everything a person does with their account."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from mooring.accounts.passwords import AT_ONCE, Passwords
from mooring.accounts.sessions import end_session, open_session, refresh_session
from mooring.accounts.throttle import LoginThrottle
from mooring.accounts.tokens import AccessTokens
from mooring.accounts.users import User, create_user, keep_newer_hash, user_by_email, user_by_id
from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.errors import NotSignedIn, WrongCredentials
from mooring.observe.growth import Growth


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str
    refresh_token: str
    expires_in: int  # seconds, of the access token


def _turns() -> asyncio.Semaphore:
    return asyncio.Semaphore(AT_ONCE)


@dataclass(frozen=True, slots=True)
class Accounts:
    db: Database
    tokens: AccessTokens
    refresh_life: timedelta
    clock: Clock
    passwords: Passwords = field(default_factory=Passwords)
    throttle: LoginThrottle = field(default_factory=LoginThrottle)
    turns: asyncio.Semaphore = field(default_factory=_turns)
    growth: Growth = field(default_factory=Growth)

    async def register(self, email: str, password: str) -> User:
        user = await create_user(self.db, email, password, passwords=self.passwords, at=self.clock())
        self.growth.registered()
        return user

    async def sign_in(self, email: str, password: str, address: str) -> Tokens:
        """`address`: where the caller is, for the throttle."""
        user = await self._proven(email, password, address)
        at = self.clock()
        refresh_token = await open_session(self.db, user.id, at, self.refresh_life)
        if refresh_token is None:  # deactivated this very moment
            raise WrongCredentials
        return self._handed_out(user.id, user.role, user.plan, refresh_token)

    async def refresh(self, refresh_token: str) -> Tokens:
        session = await refresh_session(self.db, refresh_token, self.clock(), self.refresh_life)
        return self._handed_out(session.user_id, session.role, session.plan, session.refresh_token)

    async def sign_out(self, refresh_token: str) -> None:
        await end_session(self.db, refresh_token)

    async def describe(self, user_id: int) -> User:
        user = await user_by_id(self.db, user_id)
        if user is None or not user.is_active:
            raise NotSignedIn("This account does not exist any more, or was deactivated.")
        return user

    def close(self) -> None:
        self.passwords.close()

    async def _proven(self, email: str, password: str, address: str) -> User:
        # The throttle is asked in the turn that checks the password: of a thousand guesses sent at once, all
        # would find it open before the first had failed.
        async with self.turns:
            self.throttle.check(email, address)
            user = await user_by_email(self.db, email)
            fits = await self.passwords.match(password, user.password_hash if user else None)
            if user is None or not fits or not user.is_active:
                self.throttle.failed(email, address)
                raise WrongCredentials
        self.throttle.succeeded(email, address)
        if user.password_hash is not None and self.passwords.is_outdated(user.password_hash):
            await keep_newer_hash(self.db, user, await self.passwords.hash(password))
        return user

    def _handed_out(self, user_id: int, role: str, plan: str, refresh_token: str) -> Tokens:
        access_token = self.tokens.mint(user_id, role, plan, self.clock())
        return Tokens(access_token, refresh_token, int(self.tokens.life.total_seconds()))
