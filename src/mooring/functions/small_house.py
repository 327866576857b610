"""What a function needs of the house, and no more."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mooring import clock as real
from mooring.db.pool import open_database
from mooring.errors import SetupProblem
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.storage.choice import storage_of
from mooring.terms import terms_of
from mooring.uploads.service import Uploads
from mooring.uploads.storage_events import StorageEvents


@asynccontextmanager
async def open_storage_events(settings: Settings, *, connections: int) -> AsyncIterator[StorageEvents]:
    """Only what arrivals need, and no connection before the first of them. For functions, of which there may be a
    thousand: they neither migrate the database nor prepare the storage."""
    if settings.is_embedded:
        raise SetupProblem("MOORING_DATABASE_URL is missing: a function has no database of its own.")
    if settings.storage.startswith("disk") and not settings.s3_bucket:
        raise SetupProblem("MOORING_STORAGE is missing: a function has no disk that others upload to.")
    storage = storage_of(settings, "", real.now)
    metrics = Metrics()
    db = await open_database(settings.database_url or "", most=connections, least=0)
    uploads = Uploads(db, storage, real.now, terms_of(settings), metrics)
    async with AsyncExitStack() as closing:
        closing.push_async_callback(db.close)
        closing.push_async_callback(storage.close)
        yield StorageEvents(uploads, metrics)
