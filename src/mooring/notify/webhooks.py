"""Webhooks as their owners see them: made, listed, deleted; what was sent to each, and what could not be.

What is to be sent is written by the database itself, in the transaction of the transition (migration 0008)."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, get_args

import structlog

from mooring.accounts.callers import Caller
from mooring.clock import Clock
from mooring.db.batches import batch_by_batch
from mooring.db.pool import Database, Executor
from mooring.errors import AdminsOnly, DeliveryNotDead, DeliveryNotFound, TooManyWebhooks, WebhookNotFound
from mooring.notify import addresses, lines
from mooring.notify.addresses import Lookups, Resolve, Rules
from mooring.notify.lines import enqueueing
from mooring.notify.signing import WebhookKey, hash_of

log = structlog.get_logger()

EventType = Literal["upload.arrived", "upload.completed", "upload.failed", "upload.rejected", "upload.incomplete"]
EVENTS: tuple[EventType, ...] = get_args(EventType)
MOST = 20  # of one user
KEPT = timedelta(days=30)  # deliveries, done or dead
AT_ONCE = 1000  # that a chore takes in one go

Scope = Literal["own", "all"]
DeliveryState = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class Webhook:
    id: int
    url: str
    scope: Scope
    events: Sequence[EventType]
    created_at: datetime
    disabled_at: datetime | None
    disabled_why: str | None


@dataclass(frozen=True, slots=True)
class NewWebhook:
    webhook: Webhook
    seed: str


@dataclass(frozen=True, slots=True)
class Delivery:
    id: int
    event_id: int
    upload_id: int
    type: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    tried_at: datetime | None
    status: int | None
    error: str | None


_WEBHOOK = """w.id, coalesce(w.url, 'eventbridge://' || w.bus), w.scope, w.events, w.created_at, w.disabled_at,
    w.disabled_why"""
_DELIVERY = "d.id, d.event_id, d.upload_id, d.type, d.state, d.attempts, d.created_at, d.tried_at, d.status, d.error"
# Of the bus every administrator is the owner.
_MINE = "(w.owner_id = $1 OR (w.owner_id IS NULL AND $2))"


@dataclass(frozen=True)
class Webhooks:
    db: Database
    clock: Clock
    key: WebhookKey
    rules: Rules
    resolve: Resolve = field(default_factory=Lookups)

    async def check(self, url: str, scope: Scope, *, caller: Caller) -> None:
        """Before any transaction: a name is looked up. Not for who may have no other webhook: `create` says so."""
        if scope == "all" and not caller.is_admin:
            raise AdminsOnly
        [[count]] = await self.db.fetch("SELECT count(*) FROM webhooks WHERE owner_id = $1", caller.user_id)
        if count >= MOST:
            addresses.parts_of(url)
            return
        await addresses.check(url, self.rules, self.resolve)

    async def create(
        self, url: str, scope: Scope, events: Sequence[EventType], *, caller: Caller, tx: Executor | None = None
    ) -> NewWebhook:
        if tx is None:
            async with self.db.transaction() as own:
                return await self.create(url, scope, events, caller=caller, tx=own)
        # One after the other: each statement counts what was committed before it began.
        await tx.fetch("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", caller.user_id)
        seed = secrets.token_urlsafe(32)
        rows = await tx.fetch(
            f"""INSERT INTO webhooks AS w (owner_id, scope, url, events, seed, secret_hash, created_at)
                SELECT id, $2, $3, $4, $5, $6, $7 FROM users
                WHERE id = $1 AND (SELECT count(*) FROM webhooks WHERE owner_id = $1) < $8
                RETURNING {_WEBHOOK}""",
            caller.user_id, scope, url, [one for one in EVENTS if one in events], seed,
            hash_of(self.key.secret(seed)), self.clock(), MOST,
        )  # fmt: skip
        if not rows:
            raise TooManyWebhooks(MOST)
        made = Webhook(*rows[0])
        log.info("webhook_created", webhook_id=made.id, user_id=caller.user_id, scope=scope)
        return NewWebhook(made, seed)

    async def page(self, caller: Caller, *, before: int | None, limit: int) -> list[Webhook]:
        """Newest first."""
        rows = await self.db.fetch(
            f"""SELECT {_WEBHOOK} FROM webhooks w WHERE {_MINE} AND ($3::bigint IS NULL OR w.id < $3)
                ORDER BY w.id DESC LIMIT $4""",
            caller.user_id, caller.is_admin, before, limit,
        )  # fmt: skip
        return [Webhook(*row) for row in rows]

    async def get(self, webhook_id: int, *, caller: Caller) -> Webhook:
        rows = await self.db.fetch(
            f"SELECT {_WEBHOOK} FROM webhooks w WHERE {_MINE} AND w.id = $3",
            caller.user_id,
            caller.is_admin,
            webhook_id,
        )  # fmt: skip
        if not rows:
            raise WebhookNotFound(webhook_id)
        return Webhook(*rows[0])

    async def delete(self, webhook_id: int, *, caller: Caller) -> None:
        """And all that was to be sent to it."""
        rows = await self.db.fetch(
            f"DELETE FROM webhooks w WHERE {_MINE} AND w.id = $3 RETURNING id",
            caller.user_id,
            caller.is_admin,
            webhook_id,
        )  # fmt: skip
        if not rows:
            raise WebhookNotFound(webhook_id)
        log.info("webhook_deleted", webhook_id=webhook_id, user_id=caller.user_id)

    async def deliveries(
        self,
        webhook_id: int,
        *,
        caller: Caller,
        state: DeliveryState | None,
        before: int | None,
        limit: int,
    ) -> list[Delivery]:
        """Newest first."""
        await self._heard(webhook_id, caller)
        rows = await self.db.fetch(
            f"""SELECT {_DELIVERY} FROM webhook_deliveries d
                WHERE d.webhook_id = $1 AND ($2::text IS NULL OR d.state = $2) AND ($3::bigint IS NULL OR d.id < $3)
                ORDER BY d.id DESC LIMIT $4""",
            webhook_id, state, before, limit,
        )  # fmt: skip
        return [Delivery(*row) for row in rows]

    async def replay(self, webhook_id: int, delivery_id: int, *, caller: Caller) -> Delivery:
        """A dead one is tried again, from the beginning of its schedule. It keeps its message's id."""
        webhook = await self._heard(webhook_id, caller)
        async with self.db.transaction() as tx:
            rows = await tx.fetch(
                f"""UPDATE webhook_deliveries d SET state = 'pending', attempts = 0
                    WHERE d.id = $1 AND d.webhook_id = $2 AND d.state = 'dead' AND $3 RETURNING {_DELIVERY}""",
                delivery_id, webhook_id, webhook.disabled_at is None,
            )  # fmt: skip
            if rows:
                await tx.fetch(enqueueing("d.id = $1"), delivery_id)
        if rows:
            return Delivery(*rows[0])
        found = await self.db.fetch(
            "SELECT state FROM webhook_deliveries WHERE id = $1 AND webhook_id = $2", delivery_id, webhook_id
        )
        if not found:
            raise DeliveryNotFound(delivery_id)
        raise DeliveryNotDead(delivery_id, found[0][0], webhook.disabled_why)

    async def _heard(self, webhook_id: int, caller: Caller) -> Webhook:
        """`AdminsOnly` where it hears of everybody's and its owner is no administrator any more, whatever the caller's
        token still says."""
        webhook = await self.get(webhook_id, caller=caller)
        rows = await self.db.fetch(
            """SELECT FROM webhooks w JOIN users o ON o.id = w.owner_id
               WHERE w.id = $1 AND w.scope = 'all' AND o.role <> 'admin'""",
            webhook_id,
        )
        if rows:
            raise AdminsOnly
        return webhook

    async def keep(self, at: datetime) -> int:
        """A chore of the sweep: what lost its job gets another, forgotten lines are called, what is over goes."""
        again = await self.db.fetch(
            enqueueing("""d.state = 'pending' AND NOT d.waits AND NOT EXISTS (
                SELECT FROM pgqueuer j WHERE j.dedupe_key = 'delivery:' || d.id AND j.status IN ('queued', 'picked'))
                ORDER BY d.id LIMIT $1"""),
            AT_ONCE,
        )
        await lines.call_one_of_each(self.db)
        await batch_by_batch(partial(self._forget, at - KEPT), AT_ONCE)
        return len(again)

    async def _forget(self, before: datetime) -> int:
        gone = await self.db.fetch(
            """DELETE FROM webhook_deliveries WHERE id IN (
                   SELECT id FROM webhook_deliveries WHERE state <> 'pending' AND created_at < $1
                   ORDER BY created_at LIMIT $2)
               RETURNING 1""",
            before,
            AT_ONCE,
        )
        return len(gone)
