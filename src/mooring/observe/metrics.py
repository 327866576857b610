"""What is counted, under the guides' names, with their labels and buckets. One registry per house.

Areas with more to say have a file of their own (`of_…`). A gauge also says how those of several processes are joined
(`SUMMED`, `LEAST`); counters and histograms are summed."""

import platform
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from mooring.observe.exposition import Family, families_of, joined, text_of
from mooring.observe.growth import Growth
from mooring.observe.of_access import OfAccess
from mooring.observe.of_arrivals import OfArrivals
from mooring.observe.of_recordings import OfRecordings
from mooring.observe.of_requests import OfRequests
from mooring.observe.of_telling import OfTelling
from mooring.observe.of_uploads import OfUploads
from mooring.observe.tally import Handed, Ranked, Spread
from mooring.observe.words import SERVICES, Outcome, Service

EXTERNAL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PROCESSING_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1200.0, 3600.0)

# Gauges of which each process has its part. What is in neither set is the same everywhere: the highest is shown.
SUMMED = {
    "photo_api_active_sessions",
    "photo_api_processing_jobs_active",
    "photo_api_log_queue_size",
    "photo_api_live_streams",
}
LEAST = {"photo_api_ready"}  # ready is who is ready altogether


class Metrics(OfRequests, OfUploads, OfArrivals, OfRecordings, OfTelling, OfAccess):
    def __init__(self, most: int = 100) -> None:
        """`most`: users, and clients, with a series of their own; the rest are `other`."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series of each, that nobody asked for
        self.registry = CollectorRegistry(auto_describe=True)
        self._count_presence(self.registry)
        self._count_requests(self.registry)
        self._count_limits(self.registry, most)
        self._count_trouble(self.registry)
        self._count_uploads(self.registry, most)
        self._count_images(self.registry)
        self._count_others(self.registry)
        self._count_share_links(self.registry, most)
        self._count_processing(self.registry)
        self._count_logs(self.registry)
        self._count_recordings(self.registry)
        self._count_arrivals(self.registry)
        self.growth = Growth(most, self.registry)
        self._count_telling(self.registry)
        self.elsewhere: list[Family] = []  # what others counted whom nobody can ask
        self.ranked = {one.name: one for one in vars(self).values() if isinstance(one, Ranked)}

    def _count_presence(self, registry: CollectorRegistry) -> None:
        self.ready = Gauge(
            "photo_api_ready", "1 while requests are welcome, 0 while starting or stopping", registry=registry
        )
        self.app_info = Gauge(
            "photo_api_app_info", "Who this is", ["node", "app", "version", "environment"], registry=registry
        )

    def _count_trouble(self, registry: CollectorRegistry) -> None:
        self.exceptions = Counter("photo_api_exceptions_total", "Exceptions nobody expected", registry=registry)
        self.db_errors = Counter(
            "photo_api_db_errors_total", "Failed statements and lost connections", registry=registry
        )

    def _count_others(self, registry: CollectorRegistry) -> None:
        self.external_seconds = Spread(
            "photo_api_external_request_duration_seconds",
            "Time that another service took",
            ["service"],
            buckets=EXTERNAL_BUCKETS,
            registry=registry,
        )
        self.external_errors = Counter(
            "photo_api_external_request_errors_total", "Failures of other services", ["service"], registry=registry
        )
        for service in SERVICES:
            self.external_errors.labels(service)  # there with 0: a rate needs a beginning

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
        self.queue_depth = Gauge(
            "photo_api_batch_queue_depth", "Jobs that are due and wait for a worker", registry=registry
        )

    def _count_logs(self, registry: CollectorRegistry) -> None:
        self.log_queue_size = Gauge(
            "photo_api_log_queue_size", "Log lines that wait to be sent to the log service", registry=registry
        )
        self.log_lines_dropped = Counter(
            "photo_api_log_lines_dropped_total", "Log lines that were not sent", ["reason"], registry=registry
        )

    def introduce(self, *, version: str, environment: str) -> None:
        self.app_info.labels(platform.node(), "mooring", version, environment).set(1)

    def external(self, service: Service, began: float) -> None:
        """A call to another service is over. On the path of every confirm."""
        self.external_seconds.observe(perf_counter() - began, service)

    def external_failed(self, service: Service) -> None:
        self.external_errors.labels(service).inc()

    def processed(self, kind: str, outcome: Outcome, seconds: float) -> None:
        self.processing_seconds.labels(kind, outcome).observe(seconds)

    # ── one of several processes ──

    def rank_elsewhere(self) -> None:
        """Who has a series of their own is decided in one place, or what one process no longer shows would be a fall
        of the sum."""
        for one in self.ranked.values():
            one.rank_elsewhere()

    def hand_on(self) -> dict[str, list[Handed]]:
        return {name: counted for name, one in self.ranked.items() if (counted := one.hand_on())}

    # ── a look ──

    def families(self) -> list[Family]:
        own = families_of(self.registry)
        return joined([own, self.elsewhere]) if self.elsewhere else own

    def text(self) -> bytes:
        return text_of(self.families())
