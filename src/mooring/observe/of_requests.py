"""What requests are counted by: their number and time, who signed in, who was refused for coming too often."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mooring.observe.tally import Ranked, Spread, Tally
from mooring.observe.words import Result

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOGIN_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0)


class OfRequests:
    def _count_requests(self, registry: CollectorRegistry) -> None:
        request = ["method", "handler", "status"]
        self.requests = Spread(
            "http_request_duration_seconds",
            "Time to answer",
            request,
            buckets=REQUEST_BUCKETS,
            counter=("http_requests_total", "Requests"),
            registry=registry,
        )

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
        self.signed_in = 0
        self.active_sessions.set_function(lambda: self.signed_in)

    def _count_limits(self, registry: CollectorRegistry, most: int) -> None:
        self.rate_limit_requests = Tally(
            "photo_api_rate_limit_requests_total",
            "Requests held against a limit",
            ["endpoint", "status"],
            registry=registry,
        )
        self.rate_limit_hits = Ranked(
            "photo_api_rate_limit_hits_total",
            "Requests refused",
            ["endpoint", "client_id"],
            most=most,
            registry=registry,
        )
        self.rate_limit_store_errors = Counter(
            "photo_api_rate_limit_store_errors_total", "Times the shared store of limits was away", registry=registry
        )

    def answered(self, method: str, handler: str, status: int, seconds: float) -> None:
        """On the path of every request."""
        self.requests.observe(seconds, method, handler, status)

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
        self.rate_limit_hits.inc(endpoint, client_id)
        self.rate_limit_requests.inc(endpoint, "blocked")
