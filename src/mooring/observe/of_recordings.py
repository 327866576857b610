"""What recordings are counted by: guide 003's two timers, and how many were worked on before the answer."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

RECORD_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 2.5, 5.0)


class OfRecordings:
    def _count_recordings(self, registry: CollectorRegistry) -> None:
        self.record_presign_seconds = Histogram(
            "photo_api_record_presign_duration_seconds",
            "Time to issue an upload URL for a recording",
            ["result"],
            buckets=RECORD_BUCKETS,
            registry=registry,
        )
        self.record_creation_seconds = Histogram(
            "photo_api_record_creation_duration_seconds",
            "Time to create a record, with the wait for its immediate processing",
            ["result"],
            buckets=RECORD_BUCKETS,
            registry=registry,
        )
        self.immediate_processing = Counter(
            "photo_api_immediate_processing_total",
            "Records created, by whether their recording was worked on before the answer",
            ["result"],
            registry=registry,
        )

    def record_presign(self) -> AbstractContextManager[None]:
        return _timed(self.record_presign_seconds)

    def record_creation(self) -> AbstractContextManager[None]:
        return _timed(self.record_creation_seconds)

    def immediately(self, *, is_completed: bool) -> None:
        self.immediate_processing.labels("completed" if is_completed else "deferred").inc()


@contextmanager
def _timed(histogram: Histogram) -> Iterator[None]:
    """Times what happens in the block, and how it ended."""
    began = perf_counter()
    result = "failure"
    try:
        yield
        result = "success"
    finally:
        histogram.labels(result).observe(perf_counter() - began)
