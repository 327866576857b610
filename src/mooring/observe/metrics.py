"""What is counted, under the guides' names, with their labels and buckets. One registry per house."""

import platform
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

Result = Literal["success", "failure"]
# What became of a file that a worker took up. `retry`: nothing yet.
Outcome = Literal["success", "failure", "rejected", "retry"]
RESULTS: tuple[Result, ...] = ("success", "failure")

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PROCESSING_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
FILE_SIZE_BUCKETS = tuple(2.0**power for power in range(14, 34, 2))  # 16 KiB to 4 GiB


class Metrics:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series of each, that nobody asked for
        self.registry = registry = CollectorRegistry(auto_describe=True)

        # ── is it there ──
        self.ready = Gauge(
            "photo_api_ready", "1 while requests are welcome, 0 while starting or stopping", registry=registry
        )
        self.app_info = Gauge(
            "photo_api_app_info", "Who this is", ["node", "app", "version", "environment"], registry=registry
        )

        # ── requests ──
        request = ["method", "handler", "status"]
        self.requests = Counter("http_requests_total", "Requests", request, registry=registry)
        self.request_seconds = Histogram(
            "http_request_duration_seconds",
            "Time to answer",
            request,
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._by_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

        # ── trouble ──
        self.exceptions = Counter("photo_api_exceptions_total", "Exceptions nobody expected", registry=registry)
        self.db_errors = Counter(
            "photo_api_db_errors_total", "Failed statements and lost connections", registry=registry
        )

        # ── uploads ──
        self.presigned = Counter(
            "photo_api_presigned_url_generation_total", "Upload URLs asked for", ["result"], registry=registry
        )
        self.confirmed = Counter("photo_api_photo_upload_confirm_total", "Confirms", ["result"], registry=registry)
        self.uploaded = Counter(
            "photo_api_photo_upload_total", "Photos uploaded", ["upload_method", "result"], registry=registry
        )
        self.file_size = Histogram(
            "photo_api_photo_upload_file_size_bytes",
            "Sizes of the files that URLs were issued for",
            ["upload_method"],
            buckets=FILE_SIZE_BUCKETS,
            registry=registry,
        )
        self.incomplete = Gauge(
            "photo_api_temp_upload_incomplete_after_ttl",
            "Uploads whose URL lapsed and that never arrived",
            registry=registry,
        )

        # ── processing ──
        self.processing_seconds = Histogram(
            "photo_api_processing_duration_seconds",
            "Time to process an upload, from taking the job to its result",
            ["kind", "result"],
            buckets=PROCESSING_BUCKETS,
            registry=registry,
        )
        self.processing_active = Gauge(
            "photo_api_processing_jobs_active", "Jobs that this process works on", registry=registry
        )

        # Looking a child up by its labels costs more than counting: the hot ones are kept.
        self._presigned = {result: self.presigned.labels(result) for result in RESULTS}
        self._confirmed = {result: self.confirmed.labels(result) for result in RESULTS}
        self._presigned_upload = {result: self.uploaded.labels("presigned", result) for result in RESULTS}
        self._presigned_size = self.file_size.labels("presigned")

    def introduce(self, *, version: str, environment: str) -> None:
        self.app_info.labels(platform.node(), "mooring", version, environment).set(1)

    def answered(self, method: str, handler: str, status: int, seconds: float) -> None:
        """On the path of every request: the labelled children are looked up once and kept."""
        known = self._by_request.get((method, handler, status))
        if known is None:
            labels = (method, handler, str(status))
            known = (self.requests.labels(*labels), self.request_seconds.labels(*labels))
            self._by_request[method, handler, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def issued(self, file_size: int) -> None:
        self._presigned_size.observe(file_size)

    def presign(self, result: Result, count: int = 1) -> None:
        self._presigned[result].inc(count)

    def confirm(self, result: Result) -> None:
        self._confirmed[result].inc()
        self._presigned_upload[result].inc()

    def processed(self, kind: str, outcome: Outcome, seconds: float) -> None:
        self.processing_seconds.labels(kind, outcome).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
