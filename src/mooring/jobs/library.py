"""pgqueuer as we use it: its tables under its own names, whatever the environment says."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Set
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import JobId, QueueEntrypoint
from pgqueuer.queries import Queries
from pydantic_settings import PydanticBaseSettingsSource

__all__ = ["Job", "Manager", "RetryRequested", "manager_on", "queries_on"]


class _Names(DBSettings):
    """The names that our migration made. The library would also take them from variables as common as CHANNEL."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@dataclass
class _Queries(Queries):
    before_taking: Callable[[], Awaitable[object]] = field(kw_only=True)

    async def dequeue(self, *args: Any, **named: Any) -> list[Job]:
        if not named["entrypoints"]:  # no seat is free
            return []
        await self.before_taking()
        return await super().dequeue(*args, **named)


@dataclass
class Manager(QueueManager):
    """Takes no more than it has seats for, and of the slow names fewer: what is quick need not wait for those."""

    seats: int = field(kw_only=True)
    slow: Set[str] = field(kw_only=True)
    _taken: dict[JobId, str] = field(default_factory=dict, init=False)

    async def fetch_jobs(self, *args: Any, **named: Any) -> AsyncGenerator[Job, None]:
        async for job in super().fetch_jobs(*args, **named):
            self._taken[job.id] = job.entrypoint
            yield job

    def entrypoints_below_capacity_limits(self) -> set[QueueEntrypoint]:
        """The names of what may be taken now."""
        self._taken = {id_: name for id_, name in self._taken.items() if id_ in self.job_context}
        if len(self._taken) >= self.seats:
            return set()
        names = set(self.entrypoint_registry)
        slow = sum(name in self.slow for name in self._taken.values())
        return names - self.slow if slow >= max(1, self.seats - 1) else names


def queries_on(connection: asyncpg.Connection) -> Queries:
    names = _Names()
    return Queries(AsyncpgDriver(connection), **_building(names))


def manager_on(
    connection: asyncpg.Connection, *, seats: int, slow: Set[str], before_taking: Callable[[], Awaitable[object]]
) -> Manager:
    names = _Names()
    queries = _Queries(AsyncpgDriver(connection), **_building(names), before_taking=before_taking)
    return Manager(queries, channel=queries.qbe.settings.channel, seats=seats, slow=slow)


def _building(names: _Names) -> dict[str, Any]:
    return {
        "qbe": QueryBuilderEnvironment(names),
        "qbq": QueryQueueBuilder(names),
        "qbs": QuerySchedulerBuilder(names),
    }
