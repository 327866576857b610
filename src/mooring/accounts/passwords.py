"""Argon2id, away from the event loop, two at a time."""

import asyncio
import base64
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2  # each takes 19 MiB and a core for some 20 ms: more at once is no faster, only larger


def _owasp() -> PasswordHasher:
    return PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")


@dataclass(frozen=True, slots=True)
class Passwords:
    hasher: PasswordHasher = field(default_factory=_owasp)
    threads: ThreadPoolExecutor = field(default_factory=_threads)

    async def hash(self, password: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self.hasher.hash, _same_from_every_keyboard(password))

    async def match(self, password: str, password_hash: str | None) -> bool:
        """With None, for an e-mail nobody has, it works as long and says no: the time tells nothing."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self.threads,
            self._match,
            _same_from_every_keyboard(password),
            password_hash or self._nobodys_hash(),
        )

    def is_outdated(self, password_hash: str) -> bool:
        return self.hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _match(self, password: bytes, password_hash: str) -> bool:
        try:
            return self.hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _nobodys_hash(self) -> str:
        """Looks like one of ours, so checking it costs the same; no password gives it."""
        cost = f"m={self.hasher.memory_cost},t={self.hasher.time_cost},p={self.hasher.parallelism}"
        salt, digest = (
            base64.b64encode(os.urandom(length)).decode().rstrip("=")
            for length in (self.hasher.salt_len, self.hasher.hash_len)
        )
        return f"$argon2id$v=19${cost}${salt}${digest}"


def _same_from_every_keyboard(password: str) -> bytes:
    """One system types é as one code point, another as two: the same password (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password).encode()
