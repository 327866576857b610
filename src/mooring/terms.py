"""Settings in, the terms of uploads out, and the sweep that holds them."""

from collections.abc import Sequence
from datetime import timedelta

from mooring.settings import Settings
from mooring.uploads.multipart import PartTerms
from mooring.uploads.quota import Plan
from mooring.uploads.service import Terms, Uploads
from mooring.uploads.sweep import Chore, Sweep


def terms_of(settings: Settings) -> Terms:
    return Terms(
        upload_url_life=settings.upload_url_life,
        download_url_life=settings.download_url_life,
        reclaim_after=timedelta(seconds=settings.reclaim_after_seconds),
        plans=(
            Plan("free", settings.quota_free_bytes, settings.quota_free_in_flight),
            Plan("premium", settings.quota_premium_bytes, settings.quota_premium_in_flight),
        ),
        triggers=frozenset(settings.triggers),
        parts=PartTerms(settings.multipart_above_bytes, settings.multipart_part_bytes, settings.multipart_max_parts),
    )


def sweep_of(settings: Settings, uploads: Uploads, chores: Sequence[Chore]) -> Sweep:
    return Sweep(
        uploads,
        batch_size=settings.batch_size,
        at_once=settings.batch_max_concurrent,
        pause=timedelta(milliseconds=settings.batch_interval_ms),
        chores=chores,
    )
