"""Where everything is, and who is told: the settings of the files that `mooring monitoring export` writes.

Secrets are named by the files they are in, so that what is exported may be kept in version control."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mooring.observe.monitoring.rules import RUNBOOKS

Several = Annotated[list[str], NoDecode]


class Places(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MOORING_MONITORING_", extra="ignore", populate_by_name=True, frozen=True
    )

    targets: Several = Field(["127.0.0.1:8000"], description="Where Prometheus finds `mooring serve`, by commas")
    workers: Several = Field([], description="... `mooring worker --metrics-port`")
    events: Several = Field([], description="... `mooring events --metrics-port`")
    machines: Several = Field(["127.0.0.1:9100"], description="... node_exporter")
    alertmanagers: Several = Field(["127.0.0.1:9093"], description="... Alertmanager")
    prometheus: str = Field("http://127.0.0.1:9090", description="Where Grafana, preview and report find Prometheus")
    runbooks: str = Field(RUNBOOKS, description="What the `runbook_url` of an alert begins with")
    slack_url_file: str | None = Field(None, description="File with the address of a Slack webhook: every alert")
    slack_channel: str = Field("#alerts", description="The channel")
    pagerduty_key_file: str | None = Field(None, description="File with a PagerDuty integration key: what is critical")
    email_to: str | None = Field(None, description="A summary of the warnings goes there")
    email_from: str = Field("mooring@localhost", description="Its sender")
    smtp_server: str = Field("localhost:25", description="By this server")
    smtp_user: str | None = Field(None, description="The user there")
    smtp_password_file: str | None = Field(None, description="File with that user's password")
    webhook_url: str | None = Field(None, description="Every alert is posted there as JSON too")

    @field_validator("targets", "workers", "events", "machines", "alertmanagers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
