"""Settings in, a worker out: the part of the wiring that is about work."""

from datetime import timedelta

from mooring.jobs import queue
from mooring.jobs.worker import Worker
from mooring.library import photos
from mooring.observe.metrics import Metrics
from mooring.processing import recipes
from mooring.processing.sandbox import Sandbox
from mooring.settings import Settings
from mooring.uploads.service import Uploads
from mooring.uploads.work import Work


def sandbox_of(settings: Settings) -> Sandbox:
    return Sandbox(
        {
            "photo": recipes.photo(
                seconds=settings.job_seconds,
                memory_bytes=settings.job_memory_bytes,
                max_pixels=settings.photo_max_pixels,
            ),
        }
    )


def worker_of(settings: Settings, uploads: Uploads, sandbox: Sandbox, metrics: Metrics, url: str) -> Worker:
    work = Work(
        uploads,
        sandbox,
        record={"photo": photos.record_facts},
        metrics=metrics,
        attempts=settings.job_attempts,
        pause=timedelta(seconds=settings.job_pause_seconds),
    )
    handlers = {queue.PROCESS[kind]: work.process for kind in work.record}
    return Worker(url, handlers, settings.worker_concurrency, metrics.processing_active)
