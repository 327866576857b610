"""Settings in, plain values out: the terms of uploads, their kinds, and which bucket they go to."""

from datetime import timedelta

from pydantic import SecretStr

from mooring.settings import Settings
from mooring.storage.s3_bucket import Bucket, bucket_of
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


def bucket_for(settings: Settings) -> Bucket:
    return bucket_of(
        settings.storage if settings.storage.startswith("s3:") else f"s3://{settings.s3_bucket}",
        access_key=shown(settings.s3_access_key_id),
        secret_key=shown(settings.s3_secret_access_key),
        session_token=shown(settings.s3_session_token),
        region=settings.s3_region,
        endpoint=settings.s3_endpoint,
    )


def shown(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
