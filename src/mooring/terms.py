"""The terms of uploads that the settings ask for."""

from datetime import timedelta

from mooring.settings import Settings
from mooring.uploads.multipart import PartTerms
from mooring.uploads.quota import Plan
from mooring.uploads.service import Terms


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
