"""The work on uploads over HTTP, for administrators (guide 003)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from mooring.web.callers import Admin
from mooring.web.shapes import InCamelCase, InDigits

router = APIRouter(prefix="/batch", tags=["operations"])


class BatchSize(InCamelCase):
    batch_size: int


class Triggered(InCamelCase):
    status: Literal["triggered"] = "triggered"


class BatchStatistics(InCamelCase):
    active_jobs: int = Field(description="Jobs that workers are at, all of them together")
    max_concurrent_jobs: int = Field(description="Jobs that one worker is at at once")
    processing_count: int = Field(description="Uploads of all kinds that are PROCESSING")
    failed_count: int
    completed_count: int
    batch_enabled: bool = Field(description="Whether this instance sweeps by itself")
    queue_depth: int = Field(description="Jobs that are due and wait for a worker")


@router.put("/size")
async def set_batch_size(
    request: Request, size: Annotated[int, Query(ge=1, le=10_000), InDigits], _: Admin
) -> BatchSize:
    """Uploads that a sweep takes at a time, in all instances from their next sweep on, and after a restart. It goes
    before `BATCH_SIZE`."""
    await request.app.state.house.batch.set_size(size)
    return BatchSize(batch_size=size)


@router.post("/trigger")
async def trigger_batch(request: Request, _: Admin) -> Triggered:
    """A sweep now: bytes that nobody told of are looked for, and work that lost its job gets another."""
    request.app.state.house.batch.trigger()
    return Triggered()


@router.get("/statistics")
async def get_batch_statistics(request: Request, _: Admin) -> BatchStatistics:
    house = request.app.state.house
    statistics = await house.batch.statistics()
    return BatchStatistics(
        active_jobs=statistics.active_jobs,
        max_concurrent_jobs=house.settings.worker_concurrency,
        processing_count=statistics.processing_count,
        failed_count=statistics.failed_count,
        completed_count=statistics.completed_count,
        batch_enabled=house.settings.sweep,
        queue_depth=statistics.queue_depth,
    )
