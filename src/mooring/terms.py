"""Settings in, plain values out: the terms of uploads and their kinds."""

import re
from datetime import timedelta
from urllib.parse import quote

from mooring.settings import Settings, shown
from mooring.uploads.kinds import Kind, photo, recording, video
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


def kinds_of(settings: Settings) -> tuple[Kind, ...]:
    return (
        photo(settings.photo_max_bytes),
        recording(settings.recording_max_bytes),
        video(settings.video_max_bytes),
    )


def events_destination(settings: Settings) -> str | None:
    """Our own address gets the secret that is asked for there, unless it has one."""
    target, secret = shown(settings.events_target), shown(settings.events_secret)
    if target and secret and re.match(r"https?://[^@/]*(/|\Z)", target):
        scheme, _, rest = target.partition("://")
        return f"{scheme}://mooring:{quote(secret, safe='')}@{rest}"
    return target
