"""Webhooks: written with the transition, delivered at least once, given up late, and never lost."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import asyncpg
import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from conftest import HeldClock
from mooring import clock as real
from mooring.accounts.callers import Caller
from mooring.db.pool import Database
from mooring.errors import (
    AdminsOnly,
    DeliveryNotDead,
    DeliveryNotFound,
    TooManyWebhooks,
    WebhookNotFound,
    WebhookUrlNotUsable,
)
from mooring.notify import signing
from mooring.notify.addresses import Address, Lookups, Rules
from mooring.notify.delivering import ANOTHER_LOOK, AT_ONCE, SCHEDULE, ByHttp, Delivering
from mooring.notify.posting import Posting
from mooring.notify.signing import WebhookKey
from mooring.notify.webhooks import EVENTS, MOST, EventType, Scope, Webhooks
from mooring.observe.metrics import Metrics
from mooring.settings import networks_of
from mooring.uploads.batch import Batch
from mooring.uploads.lifecycle import Move, State, Trigger, Upload, advance
from servers.receiver import Receiver
from world import World

KEY = WebhookKey.derived_from("a secret of the tests, long enough")
RULES = Rules(networks_of("127.0.0.0/8"))


@pytest.fixture
def webhooks(world: World) -> Webhooks:
    return Webhooks(world.db, world.clock, KEY, RULES)


def delivering(world: World, key: WebhookKey = KEY, seconds: float = 10) -> Delivering:
    """Signs by the machine's own time, which is what a receiver holds it against."""
    return Delivering(world.db, world.clock, Metrics(), ByHttp(real.now, key, Posting(RULES, seconds=seconds)))


def caller(user_id: int, *, is_admin: bool = False) -> Caller:
    return Caller(user_id, is_admin=is_admin, plan="free")


async def made(
    webhooks: Webhooks,
    user_id: int,
    url: str,
    *,
    scope: Scope = "own",
    events: tuple[EventType, ...] = EVENTS,
    is_admin: bool = False,
) -> tuple[int, str]:
    """Its id, and the secret that its owner was shown."""
    new = await webhooks.create(url, scope, events, caller=caller(user_id, is_admin=is_admin))
    return new.webhook.id, signing.shown(KEY.secret(new.seed))


async def jobs(db: Database, entrypoint: str = "deliver_webhook") -> list[Mapping[str, Any]]:
    rows = await db.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = $1 ORDER BY id", entrypoint)
    return [json.loads(row[0]) for row in rows]


async def deliver_all(world: World, how: Delivering) -> list[timedelta | None]:
    return [await how.deliver(job, 0) for job in await jobs(world.db)]


async def moved(world: World, upload: Upload, to: State, what: str, error: str | None = None) -> None:
    moves = [Move(upload.id, Trigger.WORKER, error=error)]
    assert await advance(world.db, to, moves, what=what, at=world.clock())


# ── what is written ──


async def test_each_kind_of_transition_is_sent_signed_and_with_its_whole_context(
    world: World, webhooks: Webhooks, receiver: Receiver, clock: HeldClock
) -> None:
    user, album = await world.owner("premium")
    _, secret = await made(webhooks, user, receiver.url())
    done, broken = await world.arrived(user, album), await world.arrived(user, album)
    lied = await world.issue(user, album)
    late = await world.issue(user, album)
    for upload in (done, broken):
        await moved(world, upload, State.PROCESSING, "begun")
    await moved(world, done, State.COMPLETED, "completed")
    await moved(world, broken, State.FAILED, "failed", "It broke.")
    moves = [Move(lied.photo_id, Trigger.CLIENT, error="Other bytes.")]
    await advance(world.db, State.REJECTED, moves, what="rejected", at=clock())
    clock.forward(hours=1)
    await world.sweep.once()
    how = delivering(world)
    assert await deliver_all(world, how) == [None] * 6
    verified = [Verifier(secret).verify(one.body, one.headers) for one in receiver.received]
    assert [(one["type"], one["data"]["upload_id"], one["data"]["state"]) for one in verified] == [
        ("upload.arrived", done.id, "UPLOADED"),
        ("upload.arrived", broken.id, "UPLOADED"),
        ("upload.completed", done.id, "COMPLETED"),
        ("upload.failed", broken.id, "FAILED"),
        ("upload.rejected", lied.photo_id, "REJECTED"),
        ("upload.incomplete", late.photo_id, "PENDING"),
    ]
    assert verified[0]["timestamp"] == "2030-01-02T03:04:05.000000Z"
    context = {"kind": "photo", "user_id": user, "plan": "premium", "target_id": album, "object_key": done.object_key}
    context |= {"filename": "a.jpg", "content_type": "image/jpeg", "trigger": "client", "error_message": None}
    assert verified[0]["data"].items() >= context.items()
    assert [one["data"]["error_message"] for one in verified[3:5]] == ["It broke.", "Other bytes."]
    sent = [one.headers["webhook-id"] for one in receiver.received]
    assert len(set(sent)) == 6
    assert await deliver_all(world, how) == [None] * 6
    assert len(receiver.received) == 6, "what was delivered was sent again"


async def test_nothing_is_written_for_who_has_no_webhook_or_not_for_this(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    (user, album), (other, others) = await world.owner(), await world.owner()
    await made(webhooks, user, receiver.url(), events=("upload.failed",))
    await world.arrived(user, album)
    await world.arrived(other, others)
    assert await jobs(world.db) == []


async def test_it_is_written_with_the_transition_or_not_at_all(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user, album = await world.owner()
    await made(webhooks, user, receiver.url())
    photo_id = (await world.issue(user, album)).photo_id
    moves = [Move(photo_id, Trigger.CLIENT, etag="x")]
    with suppress(LookupError):
        async with world.db.transaction() as tx:
            assert await advance(tx, State.UPLOADED, moves, what="arrived", at=world.clock())
            raise LookupError
    assert await jobs(world.db) == []
    both = [advance(world.db, State.UPLOADED, moves, what="arrived", at=world.clock()) for _ in range(5)]
    await asyncio.gather(*both)
    assert len(await jobs(world.db)) == 1


async def test_an_administrator_may_hear_of_everybodys(world: World, webhooks: Webhooks, receiver: Receiver) -> None:
    admin, (user, album) = await world.user(), await world.owner()
    await world.db.execute("UPDATE users SET role = 'admin' WHERE id = $1", admin)
    with pytest.raises(AdminsOnly):
        await webhooks.check(receiver.url(), "all", caller=caller(user))
    _, secret = await made(webhooks, admin, receiver.url(), scope="all", is_admin=True)
    upload = await world.arrived(user, album)
    await deliver_all(world, delivering(world))
    [came] = receiver.received
    about = Verifier(secret).verify(came.body, came.headers)["data"]
    assert (about["upload_id"], about["user_id"]) == (upload.id, user)
    await world.db.execute("UPDATE users SET role = 'user' WHERE id = $1", admin)
    await world.arrived(user, album)
    assert len(await jobs(world.db)) == 1, "who is no administrator any more went on hearing"


@pytest.mark.parametrize(
    ("change", "scope", "why"),
    [
        ("role = 'user'", "all", "Its owner is no administrator any more."),
        ("is_active = false", "all", "The account of its owner was deactivated."),
        ("is_active = false", "own", "The account of its owner was deactivated."),
    ],
)
async def test_what_was_written_before_its_owner_lost_the_right_to_it_is_not_sent(
    world: World, webhooks: Webhooks, receiver: Receiver, change: str, scope: Scope, why: str
) -> None:
    admin, album = await world.owner()
    await world.db.execute("UPDATE users SET role = 'admin' WHERE id = $1", admin)
    id_, _ = await made(webhooks, admin, receiver.url(), scope=scope, is_admin=True)
    await world.arrived(admin, album)
    await world.db.execute(f"UPDATE users SET {change} WHERE id = $1", admin)
    assert await deliver_all(world, delivering(world)) == [None]
    assert receiver.received == []
    rows = await world.db.fetch("SELECT state, error FROM webhook_deliveries WHERE webhook_id = $1", id_)
    assert [tuple(row) for row in rows] == [("dead", why)]


async def test_who_is_no_administrator_any_more_neither_sees_nor_replays_what_everybody_did(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    admin, (user, album) = await world.user(), await world.owner()
    await world.db.execute("UPDATE users SET role = 'admin' WHERE id = $1", admin)
    id_, _ = await made(webhooks, admin, receiver.url(), scope="all", is_admin=True)
    await world.arrived(user, album)
    await world.db.execute("UPDATE webhook_deliveries SET state = 'dead'")
    [job] = await jobs(world.db)
    await world.db.execute("UPDATE users SET role = 'user' WHERE id = $1", admin)
    for said_by_the_token in (True, False):
        who = caller(admin, is_admin=said_by_the_token)
        with pytest.raises(AdminsOnly):
            await webhooks.deliveries(id_, caller=who, state=None, before=None, limit=10)
        with pytest.raises(AdminsOnly):
            await webhooks.replay(id_, job["delivery"], caller=who)
    assert await world.db.fetchval("SELECT state FROM webhook_deliveries") == "dead"
    await webhooks.delete(id_, caller=caller(admin))


async def test_a_webhook_that_is_deleted_meanwhile_does_not_break_the_transition(
    world: World, webhooks: Webhooks, receiver: Receiver, database_url: str
) -> None:
    user, album = await world.owner()
    id_, _ = await made(webhooks, user, receiver.url())
    deleting = await asyncpg.connect(database_url)
    transaction = deleting.transaction()
    await transaction.start()
    await deleting.execute("DELETE FROM webhooks WHERE id = $1", id_)
    arriving = asyncio.ensure_future(world.arrived(user, album))
    while not await deleting.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
        await asyncio.sleep(0)
    await transaction.commit()
    await deleting.close()
    assert (await asyncio.wait_for(arriving, 10)).state is State.UPLOADED
    assert await jobs(world.db) == []


async def test_what_is_to_be_sent_is_no_work_on_uploads(world: World, webhooks: Webhooks, receiver: Receiver) -> None:
    user, album = await world.owner()
    await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    assert len(await jobs(world.db)) == 1
    assert (await Batch(world.db, world.sweep, Metrics()).statistics()).queue_depth == 1


# ── how it is delivered ──


async def test_a_failing_endpoint_is_tried_for_a_day_with_fresh_timestamps_and_then_given_up(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user, album = await world.owner()
    id_, secret = await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    receiver.status = 500
    [job] = await jobs(world.db)
    how = delivering(world)
    pauses = [await how.deliver(job, tried) for tried in range(len(SCHEDULE) + 1)]
    assert pauses == [*SCHEDULE, None]
    assert timedelta(hours=24) < sum(SCHEDULE, timedelta()) < timedelta(hours=30)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    for one in receiver.received:
        Verifier(secret).verify(one.body, one.headers)
    [dead] = await webhooks.deliveries(id_, caller=caller(user), state="dead", before=None, limit=10)
    assert (dead.state, dead.attempts, dead.status, dead.error) == ("dead", 8, 500, "It answered 500.")
    assert how.metrics.registry.get_sample_value("photo_api_webhook_deliveries_total", {"result": "retried"}) == 7
    assert how.metrics.registry.get_sample_value("photo_api_webhook_deliveries_total", {"result": "dead"}) == 1


async def test_a_dead_letter_is_sent_again_when_asked_and_a_live_one_is_not(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user, album = await world.owner()
    id_, _ = await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    [job] = await jobs(world.db)
    mine = caller(user)
    with pytest.raises(DeliveryNotDead, match="it is pending"):
        await webhooks.replay(id_, job["delivery"], caller=mine)
    await world.db.execute("UPDATE webhook_deliveries SET state = 'dead', attempts = 8")
    await world.db.execute("DELETE FROM pgqueuer")
    again = await webhooks.replay(id_, job["delivery"], caller=mine)
    assert (again.state, again.attempts) == ("pending", 0)
    assert await deliver_all(world, delivering(world)) == [None]
    assert len(receiver.received) == 1
    with pytest.raises(DeliveryNotDead, match="it is delivered"):
        await webhooks.replay(id_, job["delivery"], caller=mine)
    with pytest.raises(DeliveryNotFound):
        await webhooks.replay(id_, 10**9, caller=mine)
    for other in (caller(await world.user()), caller(await world.user(), is_admin=True)):
        with pytest.raises(WebhookNotFound):
            await webhooks.replay(id_, job["delivery"], caller=other)


async def test_410_disables_and_all_that_waits_is_dead(world: World, webhooks: Webhooks, receiver: Receiver) -> None:
    user, album = await world.owner()
    id_, _ = await made(webhooks, user, receiver.url())
    for _ in range(2):
        await world.arrived(user, album)
    receiver.status = 410
    assert await deliver_all(world, delivering(world)) == [None, None]
    assert len(receiver.received) == 1
    disabled = await webhooks.get(id_, caller=caller(user))
    assert (disabled.disabled_at, disabled.disabled_why) == (world.clock(), "its endpoint answered 410 Gone")
    dead = await webhooks.deliveries(id_, caller=caller(user), state="dead", before=None, limit=10)
    assert len(dead) == 2
    with pytest.raises(DeliveryNotDead, match="410 Gone"):
        await webhooks.replay(id_, dead[0].id, caller=caller(user))
    await world.arrived(user, album)
    assert len(await jobs(world.db)) == 2, "it was still written for"


@pytest.mark.parametrize(
    ("said", "pause"), [("3600", timedelta(hours=1)), ("1", SCHEDULE[0]), ("999999", SCHEDULE[-1])]
)
async def test_an_endpoint_that_asks_for_patience_gets_it_within_reason(
    world: World, webhooks: Webhooks, receiver: Receiver, said: str, pause: timedelta
) -> None:
    user, album = await world.owner()
    await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    receiver.status, receiver.headers = 429, {"Retry-After": said}
    assert await deliver_all(world, delivering(world)) == [pause]


async def test_an_endpoint_that_hangs_takes_no_more_than_its_share(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user, album = await world.owner()
    await made(webhooks, user, receiver.url())
    for _ in range(AT_ONCE + 2):
        await world.arrived(user, album)
    receiver.gate.clear()
    how = delivering(world)
    sending = [asyncio.ensure_future(how.deliver(job, 0)) for job in await jobs(world.db)]
    done, hanging = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 2:
        more, hanging = await asyncio.wait(hanging, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert (len(hanging), {task.result() for task in done}) == (AT_ONCE, {timedelta(seconds=1)})
    receiver.gate.set()
    assert await asyncio.gather(*hanging) == [None] * AT_ONCE
    attempts = await world.db.fetch("SELECT attempts FROM webhook_deliveries ORDER BY attempts")
    assert [row[0] for row in attempts] == [0, 0, *[1] * AT_ONCE], "waiting for a turn is no attempt"


async def test_with_another_secret_of_the_house_nothing_is_sent_that_cant_be_verified(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user, album = await world.owner()
    await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    how = delivering(world, WebhookKey.derived_from("another secret of the house, as long"))
    assert await deliver_all(world, how) == [SCHEDULE[0]]
    assert receiver.received == []
    assert "MOORING_SECRET" in await world.db.fetchval("SELECT error FROM webhook_deliveries")


async def test_a_delivery_that_lost_its_job_gets_another_and_old_ones_go(
    world: World, webhooks: Webhooks, receiver: Receiver, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, album = await world.owner()
    id_, _ = await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    assert await webhooks.keep(clock()) == 0
    await world.db.execute("DELETE FROM pgqueuer")
    assert await webhooks.keep(clock()) == 1
    await world.arrived(user, album)
    assert await deliver_all(world, delivering(world)) == [None, None]
    monkeypatch.setattr("mooring.notify.webhooks.AT_ONCE", 1)
    clock.forward(days=31)
    await webhooks.keep(clock())
    assert await webhooks.deliveries(id_, caller=caller(user), state=None, before=None, limit=10) == []


# ── who may what ──


async def test_somebody_elses_webhook_is_not_there(world: World, webhooks: Webhooks, receiver: Receiver) -> None:
    owner, other = caller(await world.user()), caller(await world.user(), is_admin=True)
    id_, _ = await made(webhooks, owner.user_id, receiver.url())
    asks: list[Callable[[Caller], Any]] = [
        lambda who: webhooks.get(id_, caller=who),
        lambda who: webhooks.delete(id_, caller=who),
        lambda who: webhooks.deliveries(id_, caller=who, state=None, before=None, limit=1),
    ]
    for ask in asks:
        with pytest.raises(WebhookNotFound):
            await ask(other)
    assert await webhooks.page(other, before=None, limit=10) == []
    await webhooks.delete(id_, caller=owner)
    assert await webhooks.page(owner, before=None, limit=10) == []


async def test_a_user_has_so_many_webhooks_and_no_more(world: World, webhooks: Webhooks, receiver: Receiver) -> None:
    user = await world.user()
    for _ in range(MOST):
        await made(webhooks, user, receiver.url())
    with pytest.raises(TooManyWebhooks):
        await made(webhooks, user, receiver.url())
    await made(webhooks, await world.user(), receiver.url())


async def test_the_limit_holds_when_forty_are_made_at_once(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user = await world.user()
    making = [made(webhooks, user, receiver.url()) for _ in range(2 * MOST)]
    ended = await asyncio.gather(*making, return_exceptions=True)
    assert [type(one) for one in ended].count(TooManyWebhooks) == MOST
    assert await world.db.fetchval("SELECT count(*) FROM webhooks") == MOST


async def test_no_name_is_looked_up_for_who_may_have_no_other_webhook(world: World, receiver: Receiver) -> None:
    asked: list[str] = []

    async def note(host: str, _: int) -> list[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1")]

    webhooks = Webhooks(world.db, world.clock, KEY, RULES, note)
    user = await world.user()
    await webhooks.check("https://one.example/", "own", caller=caller(user))
    for _ in range(MOST):
        await made(webhooks, user, receiver.url())
    await webhooks.check("https://another.example/", "own", caller=caller(user))
    assert asked == ["one.example"]


async def test_a_delivery_whose_name_can_not_be_looked_up_now_was_not_tried(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    user, album = await world.owner()
    await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    posting = Posting(RULES, Lookups(most=0))
    how = Delivering(world.db, world.clock, Metrics(), ByHttp(real.now, KEY, posting))
    assert await deliver_all(world, how) == [ANOTHER_LOOK]
    assert await world.db.fetchval("SELECT attempts FROM webhook_deliveries") == 0
    assert await deliver_all(world, delivering(world)) == [None]


async def test_no_secret_is_in_the_database(world: World, webhooks: Webhooks, receiver: Receiver) -> None:
    user = await world.user()
    _, secret = await made(webhooks, user, receiver.url())
    kept = str(await world.db.fetch("SELECT w::text FROM webhooks w"))
    assert secret.removeprefix("whsec_") not in kept
    assert KEY.secret("x").hex() not in kept


async def test_an_address_that_is_private_is_refused_when_the_webhook_is_made(webhooks: Webhooks) -> None:
    for url in ("https://10.0.0.1/", "https://[::ffff:169.254.169.254]/latest", "http://1.1.1.1/"):
        with pytest.raises(WebhookUrlNotUsable):
            await webhooks.check(url, "own", caller=caller(1))
