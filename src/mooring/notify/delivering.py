"""What a worker does with one delivery: send it, and keep what became of it.

At least once: a worker that dies between the answer and its note of it sends again, with the same `webhook-id`."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog

from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.errors import TooManyLookups
from mooring.notify import lines, signing
from mooring.notify.posting import Answered, Posting
from mooring.notify.signing import WebhookKey
from mooring.observe.metrics import Metrics

log = structlog.get_logger()

# Pauses before the second try and those after it: 27 hours and a half in all.
SCHEDULE = tuple(timedelta(minutes=minutes) for minutes in (5 / 60, 5, 30, 120, 300, 600, 600))
LONGEST_PAUSE = SCHEDULE[-1]
AT_ONCE = 4
TURN = timedelta(seconds=1)  # for a job that was taken before it was known that its webhook has no place left
ANOTHER_LOOK = timedelta(seconds=10)  # it was not tried, so nobody is called in its place
GONE = 410

Send = Callable[["Due"], Awaitable[Answered]]


class Due(NamedTuple):
    id: int
    webhook_id: int
    event_id: int
    upload_id: int
    type: str
    body: str
    attempts: int
    created_at: datetime
    url: str | None
    bus: str | None
    seed: str | None
    secret_hash: bytes | None
    state: str
    refused: str | None

    @property
    def message_id(self) -> str:
        return f"evt_{self.event_id}"


@dataclass(frozen=True)
class Delivering:
    db: Database
    clock: Clock
    metrics: Metrics
    send: Send
    most: int | None = AT_ONCE  # to one endpoint, from one process: one that hangs takes no seats of others
    busy: Counter[int] = field(default_factory=Counter)

    async def deliver(self, job: Mapping[str, Any], _: int) -> timedelta | None:
        """The job of one delivery. Answers when to try again, or None: it is over."""
        due = await self._find(job["delivery"])
        if due is None:
            return None
        if self._places(due.webhook_id) <= 0:
            return TURN
        self.busy[due.webhook_id] += 1
        try:
            again = await self._treat(due)
        except TooManyLookups:
            return ANOTHER_LOOK
        finally:
            self.busy[due.webhook_id] -= 1
        await self._call_next(due.webhook_id)
        return again

    async def shorten_lines(self) -> None:
        """Before a job is taken: what would not be sent yet goes aside, so that what is taken can be sent."""
        is_all_of_it = True
        while self.most is not None and is_all_of_it:
            busy = {webhook_id: count for webhook_id, count in self.busy.items() if count}
            jobs = await lines.too_many(self.db, busy, self.most)
            if jobs:
                await self._set_aside(jobs, busy)
            is_all_of_it = len(jobs) == lines.FRONT

    async def _set_aside(self, jobs: Sequence[int], busy: Mapping[int, int]) -> None:
        """Who was through meanwhile could not see that somebody waits, and called nobody."""
        for webhook_id in await lines.set_aside(self.db, jobs):
            if self.busy[webhook_id] < busy.get(webhook_id, 0):
                await self._call_next(webhook_id)

    async def _call_next(self, webhook_id: int) -> None:
        if self.most is not None:
            await lines.call(self.db, webhook_id, self._places(webhook_id))

    def _places(self, webhook_id: int) -> int:
        return 1 if self.most is None else self.most - self.busy[webhook_id]

    async def _treat(self, due: Due) -> timedelta | None:
        if due.state != "pending":
            return None
        if due.refused is not None:
            await self._settle(due, "dead", Answered(None, due.refused))
            return None
        return await self._judge(due, await self.send(due))

    async def _judge(self, due: Due, answered: Answered) -> timedelta | None:
        if answered.is_good:
            await self._settle(due, "delivered", answered)
            return None
        if answered.status == GONE:
            await self._disable(due)
        if answered.status == GONE or due.attempts >= len(SCHEDULE):
            await self._settle(due, "dead", answered)
            return None
        await self._settle(due, "pending", answered)
        return min(max(SCHEDULE[due.attempts], answered.retry_after or timedelta(0)), LONGEST_PAUSE)

    async def _find(self, delivery_id: int) -> Due | None:
        """With what stands against it now: who may hear of it was judged when it was written, and may have changed."""
        rows = await self.db.fetch(
            """SELECT d.id, d.webhook_id, d.event_id, d.upload_id, d.type, d.body, d.attempts, d.created_at,
                      w.url, w.bus, w.seed, w.secret_hash, d.state,
                      CASE WHEN w.disabled_why IS NOT NULL THEN 'The webhook is disabled: ' || w.disabled_why
                           WHEN NOT o.is_active THEN 'The account of its owner was deactivated.'
                           WHEN w.scope = 'all' AND o.role <> 'admin' THEN 'Its owner is no administrator any more.' END
               FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN users o ON o.id = w.owner_id
               WHERE d.id = $1""",
            delivery_id,
        )
        return Due(*rows[0]) if rows else None

    async def _settle(self, due: Due, state: str, answered: Answered) -> None:
        await self.db.fetch(
            """UPDATE webhook_deliveries
               SET state = $2, waits = false, attempts = attempts + 1, tried_at = $3, status = $4, error = $5
               WHERE id = $1 AND state = 'pending'""",
            due.id, state, self.clock(), answered.status, answered.error,
        )  # fmt: skip
        result = "retried" if state == "pending" else state
        self.metrics.webhook_deliveries.labels(result).inc()
        tell = log.info if state == "delivered" else log.warning
        tell(
            f"webhook_{result}", webhook_id=due.webhook_id, delivery_id=due.id, upload_id=due.upload_id,
            status=answered.status, why=answered.error,
        )  # fmt: skip

    async def _disable(self, due: Due) -> None:
        await self.db.fetch(
            "UPDATE webhooks SET disabled_at = $2, disabled_why = $3 WHERE id = $1 AND disabled_at IS NULL",
            due.webhook_id, self.clock(), "its endpoint answered 410 Gone",
        )  # fmt: skip
        log.warning("webhook_disabled", webhook_id=due.webhook_id)


@dataclass(frozen=True)
class ByHttp:
    clock: Clock
    key: WebhookKey
    posting: Posting

    async def __call__(self, due: Due) -> Answered:
        secret = self.key.secret(due.seed or "")
        if signing.hash_of(secret) != due.secret_hash:
            return Answered(None, "MOORING_SECRET is another one than when the webhook was made: make it anew.")
        return await self.posting.post(
            due.url or "", signing.headers(secret, due.message_id, due.body, self.clock()), due.body
        )
