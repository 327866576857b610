"""Settings in, what tells others of transitions out: the part of the wiring that is about live streams and webhooks."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from prometheus_client import Gauge

from mooring.accounts.tickets import Tickets
from mooring.clock import Clock
from mooring.db.pool import Database
from mooring.jobs.worker import Handler, Worker
from mooring.notify.addresses import Rules
from mooring.notify.delivering import ByHttp, Delivering
from mooring.notify.live import Live
from mooring.notify.posting import Posting
from mooring.notify.signing import WebhookKey
from mooring.notify.webhooks import Webhooks
from mooring.observe.metrics import Metrics
from mooring.settings import Settings, networks_of


@dataclass(frozen=True)
class Telling:
    live: Live
    tickets: Tickets
    webhooks: Webhooks
    deliverers: Sequence[Worker]


async def open_telling(
    settings: Settings, clock: Clock, metrics: Metrics, db: Database, secret: str, url: str, closing: AsyncExitStack
) -> Telling:
    live = Live(db, clock, settings.live_streams_per_user)
    metrics.live_streams.set_function(lambda: live.count)
    key = WebhookKey.derived_from(secret)
    rules = Rules(networks_of(settings.webhook_networks))
    by_http = Delivering(db, clock, metrics, ByHttp(clock, key, Posting(rules)))
    seats, under_way = settings.webhook_concurrency, Gauge("deliveries_under_way", "Not shown", registry=None)
    handlers: dict[str, Handler] = {"deliver_webhook": by_http.deliver}
    deliverers = [Worker(url, handlers, seats, under_way, before_taking=by_http.shorten_lines)]
    if settings.eventbridge_bus:  # with seats of its own: a bus that hangs keeps no webhook waiting
        publish = await _publishing(settings, settings.eventbridge_bus, by_http, closing)
        deliverers.append(Worker(url, {"publish_event": publish}, seats, under_way))
    return Telling(
        live=live,
        tickets=Tickets.derived_from(secret),
        webhooks=Webhooks(db, clock, key, rules),
        deliverers=deliverers,
    )


async def _publishing(settings: Settings, bus: str, like: Delivering, closing: AsyncExitStack) -> Handler:
    from mooring.notify import eventbridge  # twenty megabytes that only who publishes has to pay

    keys = (settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token)
    access_key, secret_key, session_token = (key.get_secret_value() if key else None for key in keys)
    client = await closing.enter_async_context(
        eventbridge.opened(
            settings.s3_region,
            endpoint=settings.eventbridge_endpoint,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
        )
    )
    await eventbridge.announce(like.db, bus, like.clock())
    return Delivering(like.db, like.clock, like.metrics, eventbridge.ByEventBridge(client), most=None).deliver
