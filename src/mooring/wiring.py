"""Settings in, working services out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import httpx

from mooring import clock as real
from mooring.accounts.callers import Callers
from mooring.accounts.jwks import TrustedIssuer, trusted_issuer
from mooring.accounts.service import Accounts
from mooring.accounts.sessions import purge_sessions
from mooring.accounts.tokens import AccessTokens
from mooring.clock import Clock
from mooring.db.embedded import Embedded
from mooring.db.idempotency import Idempotency
from mooring.db.migrate import migrate
from mooring.db.notices import Listening, Notices
from mooring.db.pool import Database, open_database
from mooring.delivery.cdn.choice import signer_of
from mooring.delivery.service import Delivery
from mooring.errors import DatabaseUnavailable, SetupProblem
from mooring.jobs import queue
from mooring.jobs.worker import Worker
from mooring.library import figures
from mooring.library.albums import Albums
from mooring.library.direct_photos import DirectPhotos
from mooring.library.figures import Taking
from mooring.library.growth import Gauges
from mooring.library.images import Images
from mooring.library.photos import Photos
from mooring.library.recordings import CHANNEL, Recordings
from mooring.library.share_links import ShareLinks
from mooring.library.share_pass import ShareKey
from mooring.library.shared import Shared
from mooring.library.songs import Songs
from mooring.library.uppy import Uppy, uppy_over
from mooring.library.videos import Videos
from mooring.observe.logs import configured_lines
from mooring.observe.metrics import Metrics
from mooring.processing.sandbox import Sandbox
from mooring.secret import secret_of
from mooring.settings import Settings, shown
from mooring.storage.choice import storage_of
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Storage
from mooring.storage.timed import Timed, TimedFiles
from mooring.telling import Telling, open_telling
from mooring.terms import kinds_of, terms_of
from mooring.uploads.batch import Batch
from mooring.uploads.direct import DirectUploads
from mooring.uploads.kinds import photo, recording, video
from mooring.uploads.reconcile import Reconciliation
from mooring.uploads.service import Uploads
from mooring.uploads.storage_events import Doorbell, StorageEvents
from mooring.uploads.sweep import Sweep
from mooring.watched import shipping_of
from mooring.workshop import sandbox_of, worker_of


@dataclass
class House:
    """The services of one process, and whether requests are welcome."""

    settings: Settings
    clock: Clock
    db: Database
    storage: Storage
    metrics: Metrics
    callers: Callers
    accounts: Accounts
    idempotency: Idempotency
    uploads: Uploads
    storage_events: StorageEvents
    doorbell: Doorbell
    albums: Albums
    photos: Photos
    direct_photos: DirectPhotos
    images: Images
    share_links: ShareLinks
    shared: Shared
    uppy: Uppy
    songs: Songs
    recordings: Recordings
    videos: Videos
    delivery: Delivery
    reconciliation: Reconciliation
    sweep: Sweep
    batch: Batch
    worker: Worker
    telling: Telling
    listening: Listening
    gauges: Gauges
    disk: DiskStorage | None  # the storage, where this process serves its URLs itself
    doors: str = field(default="starting")

    @property
    def workers(self) -> Sequence[Worker]:
        return (self.worker, *self.telling.deliverers)

    def open_doors(self) -> None:
        self.doors = "ok"
        self.metrics.ready.set(1)

    def drain(self) -> None:
        self.doors = "draining"
        self.metrics.ready.set(0)

    async def stop_work(self) -> None:
        seconds = self.settings.stop_seconds
        await asyncio.gather(*(one.stop(seconds) for one in self.workers))

    async def status(self) -> str:
        if self.doors != "ok":
            return self.doors
        try:
            await self.db.ping()
        except DatabaseUnavailable:
            return "database unavailable"
        return "ok"


@asynccontextmanager
async def open_house(
    settings: Settings, *, clock: Clock = real.now, metrics: Metrics | None = None
) -> AsyncIterator[House]:
    """Everything running; closed again at the end of the block."""
    metrics = metrics or Metrics(settings.metrics_top)
    async with AsyncExitStack() as closing:
        await closing.enter_async_context(shipping_of(settings, metrics))
        url = await open_database_server(settings, closing)
        await migrate(url)
        most = settings.database_connections
        db = await open_database(url, most=most, on_error=metrics.db_errors.inc)
        closing.push_async_callback(db.close)
        secret = secret_of(settings)
        if lines := configured_lines():
            lines.hide(secret)
        doorbell = Doorbell()
        storage = storage_of(settings, secret, clock, doorbell.ring)
        closing.push_async_callback(storage.close)
        await _make_ready(storage, settings)
        issuer = await _issuer(settings, closing)
        sandbox = sandbox_of(settings)
        closing.push_async_callback(sandbox.close)
        telling = await open_telling(settings, clock, metrics, db, secret, url, closing)
        house = _house(settings, clock, metrics, db, storage, doorbell, secret, issuer, url, sandbox, telling)
        closing.callback(house.accounts.close)
        closing.push_async_callback(house.batch.close)
        yield house


async def _make_ready(storage: Storage, settings: Settings) -> None:
    """The disk store needs its folders. A bucket is prepared by a person, with `mooring storage setup`."""
    if not isinstance(storage, DiskStorage):
        return
    for step in await storage.setup(origins=settings.cors_origins):
        if not step.done:
            raise SetupProblem(f"The storage is not usable: {step.message}")


async def _issuer(settings: Settings, closing: AsyncExitStack) -> TrustedIssuer | None:
    """Where there is none, no certificates are read: that takes longer than anything else here."""
    said = (settings.auth_jwks_url, settings.auth_issuer, settings.auth_audience)
    if not any(said):
        return None
    return trusted_issuer(*said, await closing.enter_async_context(httpx.AsyncClient(timeout=5)))


async def open_database_server(settings: Settings, closing: AsyncExitStack) -> str:
    """The database's address; the embedded one is started for it, watched over, and left at the end."""
    if settings.database_url:
        return settings.database_url
    server = await closing.enter_async_context(Embedded(settings.data))
    watching = asyncio.create_task(server.watch())
    closing.callback(watching.cancel)
    return server.url


def _house(
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    db: Database,
    storage: Storage,
    doorbell: Doorbell,
    secret: str,
    issuer: TrustedIssuer | None,
    url: str,
    sandbox: Sandbox,
    telling: Telling,
) -> House:
    tokens = AccessTokens.signed_with(secret, timedelta(seconds=settings.access_token_seconds))
    life = timedelta(seconds=settings.refresh_token_seconds)
    accounts = Accounts(db, tokens, life, clock, growth=metrics.growth)
    share_key = ShareKey.derived_from(secret)
    disk = storage if isinstance(storage, DiskStorage) else None
    uploads = Uploads(db, Timed(storage, metrics), clock, terms_of(settings), metrics)
    delivery = _delivery(settings, uploads, metrics, disk)
    photos = Photos(uploads, photo(settings.photo_max_bytes), metrics, delivery.cdn_url)
    images = Images(db)
    idempotency = Idempotency(db, clock)
    notices = Notices(CHANNEL)
    reconciliation = Reconciliation(uploads, timedelta(hours=1), timedelta(days=settings.trash_days))
    sweep = Sweep(
        uploads,
        batch_size=settings.batch_size,
        at_once=settings.batch_max_concurrent,
        pause=timedelta(milliseconds=settings.batch_interval_ms),
        chores=(
            idempotency.purge,
            partial(purge_sessions, db, limit=1000),
            reconciliation.purge_trash,
            partial(queue.keep, db, limit=1000),
            telling.webhooks.keep,
            partial(figures.forget, db),
        ),
    )
    batch = Batch(db, sweep, metrics)
    return House(
        settings=settings,
        clock=clock,
        db=db,
        storage=uploads.storage,
        metrics=metrics,
        callers=Callers(db, tokens, clock, issuer),
        accounts=accounts,
        idempotency=idempotency,
        uploads=uploads,
        storage_events=StorageEvents(uploads, metrics),
        doorbell=doorbell,
        albums=Albums(db, clock, metrics.growth),
        photos=photos,
        direct_photos=DirectPhotos(photos, DirectUploads(uploads)),
        images=images,
        share_links=ShareLinks(db, clock, accounts.passwords, share_key, settings.own_url, metrics.growth),
        shared=Shared(db, clock, accounts.passwords, share_key, metrics),
        uppy=uppy_over(uploads, kinds_of(settings), metrics, secret, settings.own_url),
        songs=Songs(db, clock),
        recordings=Recordings(
            uploads,
            recording(settings.recording_max_bytes),
            metrics,
            notices,
            timedelta(milliseconds=settings.immediate_processing_ms),
            delivery.cdn_url,
        ),
        videos=Videos(uploads, video(settings.video_max_bytes), metrics, delivery.cdn_url),
        delivery=delivery,
        reconciliation=reconciliation,
        sweep=sweep,
        batch=batch,
        worker=worker_of(settings, uploads, sandbox, metrics, url),
        telling=telling,
        listening=Listening(url, [notices, telling.live, *([images.recent] if delivery.signer else [])]),
        gauges=Gauges(db, clock, metrics.growth, [batch.show_depth, Taking(db, clock, metrics).take]),
        disk=disk,
    )


def _delivery(settings: Settings, uploads: Uploads, metrics: Metrics, disk: DiskStorage | None) -> Delivery:
    key = shown(settings.cdn_key)
    signer = signer_of(settings.cdn, url=settings.cdn_url, key=key, key_id=settings.cdn_key_id)
    files = TimedFiles(disk, metrics) if disk else None
    return Delivery(uploads, metrics, signer, timedelta(seconds=settings.cdn_token_seconds), files)
