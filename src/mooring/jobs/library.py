"""pgqueuer as we use it: its tables under its own names, whatever the environment says."""

from typing import Any

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.domain.settings import DBSettings
from pgqueuer.queries import Queries
from pydantic_settings import PydanticBaseSettingsSource

__all__ = ["Job", "QueueManager", "RetryRequested", "manager_on", "queries_on"]


class _Names(DBSettings):
    """The names that our migration made. The library would also take them from variables as common as CHANNEL."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def queries_on(connection: asyncpg.Connection) -> Queries:
    names = _Names()
    return Queries(
        AsyncpgDriver(connection),
        qbe=QueryBuilderEnvironment(names),
        qbq=QueryQueueBuilder(names),
        qbs=QuerySchedulerBuilder(names),
    )


def manager_on(connection: asyncpg.Connection) -> QueueManager:
    queries = queries_on(connection)
    return QueueManager(queries, channel=queries.qbe.settings.channel)
