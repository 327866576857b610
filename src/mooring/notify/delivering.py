"""What a worker does with one delivery: send it, and keep what became of it.

At least once: a worker that dies between the answer and its note of it sends again, with the same `webhook-id`."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog

from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.notify import signing
from mooring.notify.posting import Answered, Posting
from mooring.notify.signing import WebhookKey
from mooring.observe.metrics import Metrics

log = structlog.get_logger()

# Pauses before the second try and those after it: 27 hours and a half in all.
SCHEDULE = tuple(timedelta(minutes=minutes) for minutes in (5 / 60, 5, 30, 120, 300, 600, 600))
LONGEST_PAUSE = SCHEDULE[-1]
AT_ONCE = 4
TURN = timedelta(seconds=1)
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
    disabled_why: str | None

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
        if due.disabled_why is not None:
            await self._settle(due, "dead", Answered(None, f"The webhook is disabled: {due.disabled_why}"))
            return None
        if self.most is not None and self.busy[due.webhook_id] >= self.most:
            return TURN
        self.busy[due.webhook_id] += 1
        try:
            answered = await self.send(due)
        finally:
            self.busy[due.webhook_id] -= 1
        return await self._judge(due, answered)

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
        rows = await self.db.fetch(
            """SELECT d.id, d.webhook_id, d.event_id, d.upload_id, d.type, d.body, d.attempts, d.created_at,
                      w.url, w.bus, w.seed, w.secret_hash, w.disabled_why
               FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
               WHERE d.id = $1 AND d.state = 'pending'""",
            delivery_id,
        )
        return Due(*rows[0]) if rows else None

    async def _settle(self, due: Due, state: str, answered: Answered) -> None:
        await self.db.fetch(
            """UPDATE webhook_deliveries SET state = $2, attempts = attempts + 1, tried_at = $3, status = $4, error = $5
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
