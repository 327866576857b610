"""The storage that the settings ask for, or what a person must put right."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mooring.clock import Clock
from mooring.errors import SetupProblem
from mooring.settings import Settings, shown
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Storage
from mooring.storage.s3_bucket import Bucket, bucket_of


def storage_of(settings: Settings, secret: str, clock: Clock, tell: Callable[[str], None] | None = None) -> Storage:
    """`tell` hears of each object that arrives in the disk store."""
    kind, _, rest = settings.storage.partition(":")
    if kind == "disk" and (rest or not settings.s3_bucket):
        folder = Path(rest) if rest else settings.data / "storage"
        derived = hmac.digest(secret.encode(), b"mooring storage URLs", hashlib.sha256)
        store = DiskStorage(folder, derived, settings.own_url, clock)
        return replace(store, tell=tell) if tell and "event" in settings.triggers else store
    if kind in ("s3", "disk"):
        from mooring.storage.s3 import S3Storage  # its client takes longer to load than the disk store to open

        return S3Storage(_bucket(settings))
    raise SetupProblem(
        f"MOORING_STORAGE is {settings.storage!r}: it reads disk, disk:FOLDER or s3://bucket?endpoint=URL."
    )


def _bucket(settings: Settings) -> Bucket:
    return bucket_of(
        settings.storage if settings.storage.startswith("s3:") else f"s3://{settings.s3_bucket}",
        access_key=shown(settings.s3_access_key_id),
        secret_key=shown(settings.s3_secret_access_key),
        session_token=shown(settings.s3_session_token),
        region=settings.s3_region,
        endpoint=settings.s3_endpoint,
    )
