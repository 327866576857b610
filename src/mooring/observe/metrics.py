"""What is counted, under the guides' names, with their labels and buckets. One registry per house."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from mooring.observe.of_arrivals import OfArrivals
from mooring.observe.of_recordings import OfRecordings

Result = Literal["success", "failure"]
Access = Literal["authenticated", "shared"]
Granted = Literal["success", "denied"]
# What became of a file that a worker took up. `retry`: nothing yet.
Outcome = Literal["success", "failure", "rejected", "retry"]
RESULTS: tuple[Result, ...] = ("success", "failure")
TokenStatus = Literal["valid", "invalid", "expired"]
MOST_CLIENTS = 100  # with a series of their own; the rest is `other`

ACCESS_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
EXTERNAL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOGIN_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
PROCESSING_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
FILE_SIZE_BUCKETS = tuple(2.0**power for power in range(14, 34, 2))  # 16 KiB to 4 GiB


class Metrics(OfArrivals, OfRecordings):
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series of each, that nobody asked for
        self.registry = CollectorRegistry(auto_describe=True)
        self._count_presence(self.registry)
        self._count_requests(self.registry)
        self._count_limits(self.registry)
        self._count_trouble(self.registry)
        self._count_uploads(self.registry)
        self._count_images(self.registry)
        self._count_others(self.registry)
        self._count_share_links(self.registry)
        self._count_processing(self.registry)
        self._count_recordings(self.registry)
        self._count_arrivals(self.registry)

    def _count_presence(self, registry: CollectorRegistry) -> None:
        self.ready = Gauge(
            "photo_api_ready", "1 while requests are welcome, 0 while starting or stopping", registry=registry
        )
        self.app_info = Gauge(
            "photo_api_app_info", "Who this is", ["node", "app", "version", "environment"], registry=registry
        )

    def _count_requests(self, registry: CollectorRegistry) -> None:
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

        self.login_seconds = Histogram(
            "photo_api_login_duration_seconds",
            "Time to answer a login",
            ["result"],
            buckets=LOGIN_BUCKETS,
            registry=registry,
        )
        self.active_sessions = Gauge(
            "photo_api_active_sessions", "Requests under way of somebody signed in", registry=registry
        )
        self.signed_in = 0  # a plain number, read when somebody asks: locks on the hot path cost more than counting
        self.active_sessions.set_function(lambda: self.signed_in)

    def _count_limits(self, registry: CollectorRegistry) -> None:
        self.rate_limit_requests = Counter(
            "photo_api_rate_limit_requests_total",
            "Requests held against a limit",
            ["endpoint", "status"],
            registry=registry,
        )
        self.rate_limit_hits = Counter(
            "photo_api_rate_limit_hits_total", "Requests refused", ["endpoint", "client_id"], registry=registry
        )
        self.rate_limit_store_errors = Counter(
            "photo_api_rate_limit_store_errors_total", "Times the shared store of limits was away", registry=registry
        )
        self._limited_clients: set[str] = set()

    def _count_trouble(self, registry: CollectorRegistry) -> None:
        self.exceptions = Counter("photo_api_exceptions_total", "Exceptions nobody expected", registry=registry)
        self.db_errors = Counter(
            "photo_api_db_errors_total", "Failed statements and lost connections", registry=registry
        )

    def _count_uploads(self, registry: CollectorRegistry) -> None:
        self.presigned = Counter(
            "photo_api_presigned_url_generation_total", "Upload URLs asked for", ["result"], registry=registry
        )
        self.confirmed = Counter("photo_api_photo_upload_confirm_total", "Confirms", ["result"], registry=registry)
        self.uploaded = Counter(
            "photo_api_photo_upload_total", "Photos uploaded", ["upload_method", "result"], registry=registry
        )
        self.file_size = Histogram(
            "photo_api_photo_upload_file_size_bytes",
            "Sizes of the files that URLs were issued for, or that came directly",
            ["upload_method"],
            buckets=FILE_SIZE_BUCKETS,
            registry=registry,
        )
        self.incomplete = Gauge(
            "photo_api_temp_upload_incomplete_after_ttl",
            "Uploads whose URL lapsed and that never arrived",
            registry=registry,
        )
        # Looking a child up by its labels costs more than counting: the hot ones are kept.
        self._presigned = {result: self.presigned.labels(result) for result in RESULTS}
        self._confirmed = {result: self.confirmed.labels(result) for result in RESULTS}
        self._presigned_upload = {result: self.uploaded.labels("presigned", result) for result in RESULTS}
        self._presigned_size = self.file_size.labels("presigned")

    def _count_images(self, registry: CollectorRegistry) -> None:
        access = ["access_type", "result"]
        self.image_accesses = Counter("photo_api_image_access_total", "Images asked for", access, registry=registry)
        self.image_access_seconds = Histogram(
            "photo_api_image_access_duration_seconds",
            "Time until the redirect, or the first bytes",
            access,
            buckets=ACCESS_BUCKETS,
            registry=registry,
        )
        self._by_access: dict[tuple[Access, Granted], tuple[Counter, Histogram]] = {}

    def _count_others(self, registry: CollectorRegistry) -> None:
        self.external_seconds = Histogram(
            "photo_api_external_request_duration_seconds",
            "Time that another service took",
            ["service"],
            buckets=EXTERNAL_BUCKETS,
            registry=registry,
        )
        self.external_errors = Counter(
            "photo_api_external_request_errors_total", "Failures of other services", ["service"], registry=registry
        )

    def _count_share_links(self, registry: CollectorRegistry) -> None:
        opening = ["token_status", "result"]
        self.share_access = Counter(
            "photo_api_share_link_access_total", "Share links asked for", opening, registry=registry
        )
        self.share_access_seconds = Histogram(
            "photo_api_share_link_access_duration_seconds",
            "Time to open a share link, or to refuse it",
            opening,
            buckets=ACCESS_BUCKETS,
            registry=registry,
        )
        self.share_guesses = Counter(
            "photo_api_share_link_brute_force_attempts_total",
            "Unknown share tokens that were tried",
            ["client_id"],
            registry=registry,
        )
        self.share_images = Counter(
            "photo_api_share_link_image_access_total",
            "Images asked for by share links",
            ["token_status", "photo_in_album"],
            registry=registry,
        )
        self._guessers: set[str] = set()

    def _count_processing(self, registry: CollectorRegistry) -> None:
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

    def image_access(self, access_type: Access, result: Granted, seconds: float) -> None:
        known = self._by_access.get((access_type, result))
        if known is None:
            labels = (access_type, result)
            known = (self.image_accesses.labels(*labels), self.image_access_seconds.labels(*labels))
            self._by_access[access_type, result] = known
        known[0].inc()
        known[1].observe(seconds)

    def issued(self, file_size: int) -> None:
        self._presigned_size.observe(file_size)

    def presign(self, result: Result, count: int = 1) -> None:
        self._presigned[result].inc(count)

    def confirm(self, result: Result) -> None:
        self._confirmed[result].inc()
        self._presigned_upload[result].inc()

    def direct(self, result: Result, file_size: int | None = None) -> None:
        self.uploaded.labels("direct", result).inc()
        if file_size is not None:
            self.file_size.labels("direct").observe(file_size)

    @contextmanager
    def login(self) -> Iterator[None]:
        """Times one, and how it ended."""
        began = perf_counter()
        result: Result = "failure"
        try:
            yield
            result = "success"
        finally:
            self.login_seconds.labels(result).observe(perf_counter() - began)

    def rate_limited(self, endpoint: str, client_id: str) -> None:
        """The first clients by name; in an attack from everywhere the rest are `other`."""
        if client_id not in self._limited_clients:
            if len(self._limited_clients) >= MOST_CLIENTS:
                client_id = "other"
            self._limited_clients.add(client_id)
        self.rate_limit_hits.labels(endpoint, client_id).inc()
        self.rate_limit_requests.labels(endpoint, "blocked").inc()

    def share_opened(self, token_status: TokenStatus, result: Granted, seconds: float) -> None:
        self.share_access.labels(token_status, result).inc()
        self.share_access_seconds.labels(token_status, result).observe(seconds)

    def share_guessed(self, client_id: str) -> None:
        """The first hundred who guess have a series of their own."""
        if len(self._guessers) < MOST_CLIENTS:
            self._guessers.add(client_id)
        self.share_guesses.labels(client_id if client_id in self._guessers else "other").inc()

    def share_image(self, token_status: TokenStatus, *, is_in_album: bool) -> None:
        self.share_images.labels(token_status, "yes" if is_in_album else "no").inc()

    def processed(self, kind: str, outcome: Outcome, seconds: float) -> None:
        self.processing_seconds.labels(kind, outcome).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
