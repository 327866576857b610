"""The settings of how the house is watched: what is counted, and where it is told. A part of `settings`."""

import platform
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

if TYPE_CHECKING:
    from mooring.observe.metrics import Metrics


class Watched(BaseSettings):
    processes: int = Field(1, ge=1, le=64, description="Server processes of `mooring serve`, behind one address")
    worker_metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="Port at which `mooring worker` answers `/metrics`"
    )
    worker_metrics_host: str = Field("127.0.0.1", description="... and the address")
    events_metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="Port at which `mooring events` answers `/metrics`"
    )
    events_metrics_host: str = Field("127.0.0.1", description="... and the address")
    environment: str = Field("dev", description="Shown in `photo_api_app_info`")
    metrics_top: int = Field(
        100, ge=1, le=10_000, description="Users, and clients, that metrics tell apart; the rest are `other`"
    )
    log_service_url: str | None = Field(
        None, description="Where log lines are sent too: NHN Cloud's Log & Crash Search, as in `https://…/v2/log`"
    )
    log_service_app_key: SecretStr | None = Field(None, description="The app key of the project there")
    log_service_version: str = Field(
        "1.0.0", pattern=r"^[A-Za-z0-9._-]{1,100}$", description="The project version that is shown there"
    )
    log_service_queue: int = Field(10_000, ge=100, le=1_000_000, description="Most lines that wait to be sent")
    log_service_stop_seconds: float = Field(5, ge=0, le=600, description="At the end they are sent for so long")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")

    @field_validator("log_service_url")
    @classmethod
    def _is_a_log_service(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith(("http://", "https://")) and urlsplit(value).hostname):
            raise ValueError("it reads like https://api-logncrash.nhncloudservice.com/v2/log")
        return value

    @model_validator(mode="after")
    def _log_service_has_its_key(self) -> Self:
        if self.log_service_url is not None and self.log_service_app_key is None:
            raise ValueError("MOORING_LOG_SERVICE_URL needs MOORING_LOG_SERVICE_APP_KEY beside it")
        return self

    @property
    def secrets(self) -> list[str]:
        """What must never be written anywhere."""
        values = [getattr(self, name) for name in type(self).model_fields]
        given = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        return [*given, unquote(urlsplit(getattr(self, "database_url", None) or "").password or "")]


def shipping_of(settings: Watched, metrics: "Metrics") -> AbstractAsyncContextManager[None]:
    """First in and last out: what is logged while all else is closed is sent too."""
    from mooring.observe.logs import configured_lines
    from mooring.observe.records import Project
    from mooring.observe.shipping import shipping  # an HTTP client, which reading settings should not load

    key = settings.log_service_app_key
    return shipping(
        configured_lines(),
        settings.log_service_url,
        Project(key.get_secret_value() if key else "", settings.log_service_version, platform.node()),
        metrics,
        most=settings.log_service_queue,
        stop_seconds=settings.log_service_stop_seconds,
    )
