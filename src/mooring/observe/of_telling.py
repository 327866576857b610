"""What telling others is counted by: live streams, webhooks and events."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class OfTelling:
    def _count_telling(self, registry: CollectorRegistry) -> None:
        self.live_streams = Gauge("photo_api_live_streams", "Live streams that are open", registry=registry)
        self.webhook_deliveries = Counter(
            "photo_api_webhook_deliveries_total", "Tries to deliver a webhook", ["result"], registry=registry
        )
        for result in ("delivered", "retried", "dead"):
            self.webhook_deliveries.labels(result)  # there with 0: a rate needs a beginning
