"""Every environment variable, typed, on one page. `docs/reference/settings.md` says the same to people."""

import os
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import limits
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from mooring.watched import Watched

Seconds = Annotated[int, Field(gt=0)]
JobSeconds = Annotated[int, Field(ge=1, le=86_400)]
UrlSeconds = Annotated[int, Field(gt=0, lt=7 * 86400)]  # S3 signs for no longer


def usual_data_folder() -> Path:
    """Where the embedded default keeps everything, unless told otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/mooring")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mooring"


def networks_of(text: str | None) -> list[IPv4Network | IPv6Network]:
    """Separated by commas; a single address is a network of one."""
    return [ip_network(part.strip(), strict=False) for part in (text or "").split(",") if part.strip()]


def _named(own: str, *others: str) -> AliasChoices:
    """Guide 003's names are honoured beside the MOORING_ ones."""
    return AliasChoices(f"MOORING_{own}", *others)


class Settings(Watched):
    model_config = SettingsConfigDict(env_prefix="MOORING_", extra="ignore", populate_by_name=True, frozen=True)

    # ── where things are ──
    data: Path = Field(
        default_factory=usual_data_folder,
        description="Folder of the embedded database, the disk store and the secret",
    )
    database_url: str | None = Field(
        None, description="Any PostgreSQL >= 15; without it the embedded one runs in the data folder"
    )
    database_connections: int = Field(10, ge=2, le=500, description="Most connections one process opens")
    storage: str = Field(
        "disk", description="`disk`, `disk:FOLDER` or `s3://bucket?endpoint=URL&region=R&style=path|virtual`"
    )
    public_url: str | None = Field(
        None, description="Address under which clients reach this server; default: where it listens"
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=["*"], description="Origins whose pages may use the API and upload, separated by commas"
    )

    # ── guide 003's names of a bucket ──
    s3_bucket: str | None = Field(
        None,
        validation_alias=_named("S3_BUCKET", "S3_BUCKET_NAME"),
        description="Bucket, where `MOORING_STORAGE` does not say",
    )
    s3_region: str = Field(
        "us-east-1",
        validation_alias=_named("S3_REGION", "S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="Region of the bucket",
    )
    s3_endpoint: str | None = Field(
        None,
        validation_alias=_named("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        description="Endpoint of an S3-compatible storage",
    )
    s3_access_key_id: SecretStr | None = Field(
        None, validation_alias=_named("S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"), description="Access key"
    )
    s3_secret_access_key: SecretStr | None = Field(
        None,
        validation_alias=_named("S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
        description="Secret key",
    )
    s3_session_token: SecretStr | None = Field(
        None,
        validation_alias=_named("S3_SESSION_TOKEN", "AWS_SESSION_TOKEN"),
        description="Session token of temporary credentials",
    )

    # ── who signs in ──
    secret: SecretStr | None = Field(
        None,
        description="Signs tokens and the disk store's URLs; 32 characters or more. The embedded default makes one",
    )
    access_token_seconds: Seconds = Field(900, description="Life of an access token")
    refresh_token_seconds: Seconds = Field(30 * 86400, description="Life of a refresh token")
    auth_jwks_url: str | None = Field(None, description="Trust the tokens of another issuer: address of its JWKS")
    auth_issuer: str | None = Field(None, description="The `iss` those tokens must carry")
    auth_audience: str | None = Field(None, description="The `aud` those tokens must carry")

    # ── uploads ──
    upload_url_seconds: UrlSeconds = Field(900, description="Life of an upload URL")
    download_url_seconds: UrlSeconds = Field(
        120, description="Life of a download URL; one is handed out for half of it"
    )
    reclaim_after_seconds: Seconds = Field(
        86400, description="An upload that never arrived is given up this long after its issue"
    )
    photo_max_bytes: Seconds = Field(100 * 2**20, description="Largest photo")
    recording_max_bytes: Seconds = Field(500 * 2**20, description="Largest recording")
    video_max_bytes: Seconds = Field(100 * 2**30, description="Largest video")
    multipart_above_bytes: int = Field(
        64 * 2**20, ge=0, le=5 * 2**30, description="Videos larger than this come in parts"
    )
    multipart_part_bytes: int = Field(
        8 * 2**20,
        ge=5 * 2**20,
        le=5 * 2**30,
        description="Usual size of a part; larger where there would be too many",
    )
    multipart_max_parts: int = Field(
        1_000, ge=1, le=10_000, description="Most parts of one upload; Swift as it is installed takes 1 000, S3 10 000"
    )
    quota_free_bytes: Seconds = Field(10 * 2**30, description="Storage of the plan `free`")
    quota_premium_bytes: Seconds = Field(2**40, description="Storage of the plan `premium`")
    quota_free_in_flight: Seconds = Field(
        5_000, description="Uploads of the plan `free` that may wait for their bytes at once"
    )
    quota_premium_in_flight: Seconds = Field(50_000, description="The same of the plan `premium`")
    uppy_capability_seconds: int = Field(
        14_400, ge=1, le=86_400, description="Life of an upload address for Uppy, where it is not said"
    )
    trash_days: int = Field(30, ge=0, description="Reconciling moves objects to `trash/` and keeps them this long")

    # ── delivery ──
    cdn: Literal["none", "nhn", "akamai", "cloudfront", "nginx"] = Field(
        "none", description="The CDN that images are redirected to; `nginx` is its secure_link"
    )
    cdn_url: str | None = Field(None, description="Address at which the CDN serves the bucket")
    cdn_key: SecretStr | None = Field(
        None, description="nhn, akamai: key in hexadecimal; nginx: secret; cloudfront: file of the private key, PEM"
    )
    cdn_key_id: str | None = Field(None, description="cloudfront: ID of the public key there")
    cdn_token_seconds: int = Field(120, ge=10, le=120, description="Life of a CDN URL")

    # ── what tells of arrivals ──
    triggers: Annotated[list[Literal["client", "event", "function", "sweep"]], NoDecode] = Field(
        default=["client", "event", "sweep"], description="What may tell that bytes arrived, separated by commas"
    )
    events_secret: SecretStr | None = Field(
        None, min_length=16, description="The bearer of `POST /events/storage`; without it that is off"
    )
    events_target: SecretStr | None = Field(
        None, description="Where `mooring storage setup` has the bucket send its events"
    )

    # ── the sweep ──
    sweep: bool = Field(True, description="Whether `mooring serve` sweeps too")
    batch_size: int = Field(
        50,
        ge=1,
        le=10_000,
        validation_alias=_named("BATCH_SIZE", "BATCH_SIZE"),
        description="Uploads the sweep takes at a time",
    )
    batch_interval_ms: int = Field(
        30_000,
        ge=100,
        validation_alias=_named("BATCH_INTERVAL_MS", "BATCH_INTERVAL_MS"),
        description="Pause between sweeps",
    )
    batch_max_concurrent: int = Field(
        10,
        ge=1,
        le=1_000,
        validation_alias=_named("BATCH_MAX_CONCURRENT", "BATCH_MAX_CONCURRENT"),
        description="Questions the sweep asks storage at once",
    )

    # ── who may ask how often, and who says where they are ──
    rate_limits: bool = Field(True, description="`off` for a bench")
    rate_limit_auth: str = Field("600/minute", description="Sign in, register, refresh, sign out")
    rate_limit_issue: str = Field("120000/minute", description="Ask for upload URLs; a batch is one request")
    rate_limit_confirm: str = Field("120000/minute", description="Confirm uploads; a batch is one request")
    rate_limit_upload: str = Field("60000/minute", description="Send files through this server")
    rate_limit_share: str = Field("30000/minute", description="Open share links and their images")
    rate_limit_read: str = Field("120000/minute", description="Every other GET and HEAD")
    rate_limit_write: str = Field("30000/minute", description="Every other request")
    rate_limit_store: SecretStr | None = Field(
        None, description="`redis://` address, where several processes count together"
    )
    trusted_proxies: str | None = Field(
        None, description="Networks whose `X-Forwarded-For`, `Forwarded` and `X-Forwarded-Proto` are believed"
    )

    # ── telling others ──
    live_streams_per_user: int = Field(20, ge=1, le=10_000, description="Live streams one user may have open here")
    webhook_networks: str | None = Field(
        None, description="Networks of your own that webhooks may lead into, also by `http://`, separated by commas"
    )
    webhook_concurrency: int = Field(10, ge=1, le=256, description="Webhooks that one worker sends at once")
    eventbridge_bus: str | None = Field(
        None,
        validation_alias=_named("EVENTBRIDGE_BUS", "EVENTBRIDGE_BUS_NAME"),
        description="Transitions are published on this EventBridge bus too, in the bucket's region",
    )
    eventbridge_endpoint: str | None = Field(
        None,
        validation_alias=_named("EVENTBRIDGE_ENDPOINT", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
        description="Endpoint of EventBridge",
    )

    # ── processing ──
    worker: bool = Field(True, description="Whether `mooring serve` works on what arrived too")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Jobs one worker is at at once")
    job_attempts: int = Field(5, ge=1, le=20, description="A job that fails so often leaves its upload FAILED")
    job_pause_seconds: float = Field(
        10, gt=0, le=300, description="Pause before the second attempt; it doubles with each, up to 5 minutes"
    )
    job_seconds: JobSeconds = Field(120, description="CPU that work on a photo may take; four times that by the clock")
    job_memory_bytes: int = Field(2**30, ge=2**28, description="Memory (address space) that work on a file may take")
    immediate_processing_ms: int = Field(
        400,
        ge=0,
        le=30_000,
        description="So long the answer to a new record waits for its recording to be worked on; 0: not at all",
    )
    photo_max_pixels: Seconds = Field(100_000_000, description="Photos of more pixels are not worked on")
    recording_job_seconds: JobSeconds = Field(600, description="`MOORING_JOB_SECONDS` of recordings")
    recording_max_seconds: Seconds = Field(6 * 3600, description="Recordings that last longer are not worked on")
    video_job_seconds: JobSeconds = Field(3600, description="`MOORING_JOB_SECONDS` of videos, for each thread")
    video_job_memory_bytes: int = Field(2 * 2**30, ge=2**28, description="`MOORING_JOB_MEMORY_BYTES` of videos")
    video_max_seconds: Seconds = Field(2 * 3600, description="Videos that last longer are not worked on")
    video_max_pixels: Seconds = Field(36_000_000, description="Videos with larger pictures are not worked on")
    video_threads: int | None = Field(
        None, ge=1, le=64, description="Threads that work on a video; default: cores by `MOORING_WORKER_CONCURRENCY`"
    )

    # ── the process ──
    drain_seconds: float = Field(
        0,
        ge=0,
        le=600,
        description="On SIGTERM, `/health` says 503 this long before the doors close, so that balancers look away",
    )
    stop_seconds: int = Field(30, ge=1, le=600, description="On SIGTERM, requests under way get this long to finish")
    max_body_bytes: int = Field(2 * 2**20, ge=1024, description="Largest JSON or form body")

    @field_validator("cors_origins", "triggers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(
        "rate_limit_auth", "rate_limit_issue", "rate_limit_confirm", "rate_limit_upload", "rate_limit_share",
        "rate_limit_read", "rate_limit_write",
    )  # fmt: skip
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        try:
            several = len(limits.parse_many(value)) != 1
        except ValueError:
            raise ValueError("it reads like 600/minute, 20/second or 100 per 5 minutes") from None
        if several:
            raise ValueError("one limit, not several")
        return value

    @field_validator("rate_limit_store")
    @classmethod
    def _is_a_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("it reads like redis://:password@host:6379/0, or rediss:// with TLS")
        return value

    @field_validator("trusted_proxies", "webhook_networks")
    @classmethod
    def _are_networks(cls, value: str | None) -> str | None:
        networks_of(value)
        return value

    @property
    def rate_limit_items(self) -> dict[str, limits.RateLimitItem]:
        """By the class of request."""
        return {
            name.removeprefix("rate_limit_"): limits.parse(getattr(self, name))
            for name in type(self).model_fields
            if name.startswith("rate_limit_") and name != "rate_limit_store"
        }

    @property
    def own_url(self) -> str:
        """Where clients reach this server."""
        return (self.public_url or "http://127.0.0.1:8000").rstrip("/")

    @property
    def is_embedded(self) -> bool:
        return not self.database_url

    @property
    def upload_url_life(self) -> timedelta:
        return timedelta(seconds=self.upload_url_seconds)

    @property
    def download_url_life(self) -> timedelta:
        return timedelta(seconds=self.download_url_seconds)


def shown(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
