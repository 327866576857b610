"""Metrics of arrivals: who told of them, how late, and what storage told."""

from datetime import timedelta

from prometheus_client import CollectorRegistry

from mooring.observe.tally import Spread, Tally

TRIGGERS = ("client", "event", "function", "sweep")
LAG_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


class OfArrivals:
    def _count_arrivals(self, registry: CollectorRegistry) -> None:
        each = [(trigger,) for trigger in TRIGGERS]
        self.arrivals = Tally(
            "photo_api_upload_arrivals_total",
            "Uploads that arrived, by who told of it",
            ["trigger"],
            starts=each,
            registry=registry,
        )
        self.arrival_lag = Spread(
            "photo_api_upload_arrival_lag_seconds",
            "Time from the bytes being in storage to the arrival",
            ["trigger"],
            buckets=LAG_BUCKETS,
            starts=each,
            registry=registry,
        )
        self.storage_events = Tally(
            "photo_api_storage_events_total", "What became of what storage told", ["result"], registry=registry
        )

    def arrived(self, trigger: str, lag: timedelta | None) -> None:
        """On the path of every confirm. A storage's clock may be ahead of ours, and many tell no more than seconds."""
        self.arrivals.inc(trigger)
        if lag is not None:
            self.arrival_lag.observe(max(0.0, lag.total_seconds()), trigger)

    def told(self, result: str, count: int) -> None:
        if count:
            self.storage_events.inc(result, by=count)
