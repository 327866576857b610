"""Settings in, a worker out: the part of the wiring that is about work."""

import os
from datetime import timedelta
from functools import partial

from mooring.jobs import queue, turns
from mooring.jobs.worker import Worker
from mooring.library import photos, recordings, videos
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
            "recording": recipes.recording(
                seconds=settings.recording_job_seconds,
                memory_bytes=settings.job_memory_bytes,
                max_seconds=settings.recording_max_seconds,
            ),
            "video": recipes.video(
                seconds=settings.video_job_seconds,
                memory_bytes=settings.video_job_memory_bytes,
                max_seconds=settings.video_max_seconds,
                max_pixels=settings.video_max_pixels,
                threads=settings.video_threads or _share_of_cores(settings.worker_concurrency),
            ),
        }
    )


def _share_of_cores(jobs: int) -> int:
    """So that as many jobs as may run at once find a core each."""
    return max(1, len(os.sched_getaffinity(0)) // jobs)


def worker_of(settings: Settings, uploads: Uploads, sandbox: Sandbox, metrics: Metrics, url: str) -> Worker:
    work = Work(
        uploads,
        sandbox,
        record={"photo": photos.record_facts, "recording": recordings.record_facts, "video": videos.record_facts},
        metrics=metrics,
        attempts=settings.job_attempts,
        pause=timedelta(seconds=settings.job_pause_seconds),
    )
    handlers = {queue.PROCESS[kind]: work.process for kind in work.record}
    return Worker(
        url,
        handlers,
        settings.worker_concurrency,
        metrics.processing_active,
        before_taking=partial(turns.give, uploads.db, list(queue.PROCESS.values())),
        slow=frozenset({queue.PROCESS["video"]}),
    )
