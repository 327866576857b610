"""The same key and body within a day give the same answer; another body is refused.

A creating call runs inside the transaction that records its key, so that the answer and what it created are there
together or not at all; a second call with the same key waits for the first to end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mooring.clock import Clock
from mooring.db.pool import Database, Executor
from mooring.errors import KeyReused

LIFE = timedelta(hours=24)
UNDER_WAY = 0  # in place of a status: what was created is there, its answer is not yet final


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    is_final: bool = True  # of some calls a part could not be told: asked again, it may answer better


@dataclass(frozen=True, slots=True)
class Key:
    user_id: int
    key: str
    fingerprint: bytes


@dataclass(frozen=True)
class Idempotency:
    db: Database
    clock: Clock

    async def create_once(self, key: Key, create: Callable[[Executor], Awaitable[Answer]]) -> Answer:
        """`create` runs at most once for the key, in the key's own transaction."""
        at = self.clock()
        async with self.db.transaction() as tx:
            if not await _claim(tx, key, at):
                return await _recall(tx, key, at) or await create(tx)
            answer = await create(tx)
            await _keep(tx, key, answer)
            return answer

    async def create_and_finish(
        self,
        key: Key,
        create: Callable[[Executor], Awaitable[Answer]],
        finish: Callable[[Answer], Awaitable[Answer]],
    ) -> Answer:
        """`create` as above, but its answer is not the last word: `finish` makes that of it, with no transaction open.
        Calls that come meanwhile, or after a crash, finish too, and all of them answer what the first has kept."""
        begun = await self.create_once(key, create)
        if begun.is_final:
            return begun
        finished = await finish(begun)
        kept = await self.db.fetch(
            "UPDATE idempotency_keys SET status = $3, answer = $4 WHERE user_id = $1 AND key = $2 AND status = $5"
            " RETURNING 1",
            key.user_id,
            key.key,
            finished.status,
            finished.body,
            UNDER_WAY,
        )
        return finished if kept else await _recall(self.db, key, self.clock()) or finished

    async def answer_once(self, key: Key, act: Callable[[], Awaitable[Answer]]) -> Answer:
        """For calls that are idempotent by themselves and talk to storage: no transaction is open meanwhile."""
        at = self.clock()
        known = await _recall(self.db, key, at)
        if known:
            return known
        answer = await act()
        if not answer.is_final:
            return answer
        async with self.db.transaction() as tx:
            if not await _claim(tx, key, at):
                return await _recall(tx, key, at) or answer
            await _keep(tx, key, answer)
        return answer

    async def has_answer(self, user_id: int, key: str) -> bool:
        """To whatever it was asked with: whether that was the same, `create_once` judges."""
        sql = "SELECT 1 FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND created_at >= $3"
        return bool(await self.db.fetch(sql, user_id, key, self.clock() - LIFE))

    async def purge(self, at: datetime) -> int:
        """A chore of the sweep."""
        rows = await self.db.fetch("DELETE FROM idempotency_keys WHERE created_at < $1 RETURNING 1", at - LIFE)
        return len(rows)


async def _claim(tx: Executor, key: Key, at: datetime) -> bool:
    """Whether the key is ours. Where another call holds it, this waits until that one has ended."""
    rows = await tx.fetch(
        """INSERT INTO idempotency_keys (user_id, key, fingerprint, created_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (user_id, key) DO UPDATE
           SET fingerprint = excluded.fingerprint, created_at = excluded.created_at, status = NULL, answer = NULL
           WHERE idempotency_keys.created_at < excluded.created_at - $5::interval
           RETURNING 1""",
        key.user_id,
        key.key,
        key.fingerprint,
        at,
        LIFE,
    )
    return bool(rows)


async def _recall(tx: Executor, key: Key, at: datetime) -> Answer | None:
    rows = await tx.fetch(
        """SELECT fingerprint, status, answer FROM idempotency_keys
           WHERE user_id = $1 AND key = $2 AND created_at >= $3::timestamptz - $4::interval""",
        key.user_id,
        key.key,
        at,
        LIFE,
    )
    if not rows:
        return None
    fingerprint, status, body = rows[0]
    if fingerprint != key.fingerprint:
        raise KeyReused
    return Answer(status, body, is_final=status != UNDER_WAY)


async def _keep(tx: Executor, key: Key, answer: Answer) -> None:
    await tx.fetch(
        "UPDATE idempotency_keys SET status = $3, answer = $4 WHERE user_id = $1 AND key = $2",
        key.user_id,
        key.key,
        answer.status if answer.is_final else UNDER_WAY,
        answer.body,
    )
