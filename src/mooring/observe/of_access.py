"""What looking is counted by: images, share links, and who guesses at them."""

from prometheus_client import CollectorRegistry, Counter

from mooring.observe.tally import Ranked, Spread
from mooring.observe.words import Access, Granted, TokenStatus

ACCESS_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class OfAccess:
    def _count_images(self, registry: CollectorRegistry) -> None:
        self.image_accesses = Spread(
            "photo_api_image_access_duration_seconds",
            "Time until the redirect, or the first bytes",
            ["access_type", "result"],
            buckets=ACCESS_BUCKETS,
            counter=("photo_api_image_access_total", "Images asked for"),
            registry=registry,
        )

    def _count_share_links(self, registry: CollectorRegistry, most: int) -> None:
        self.share_access = Spread(
            "photo_api_share_link_access_duration_seconds",
            "Time to open a share link, or to refuse it",
            ["token_status", "result"],
            buckets=ACCESS_BUCKETS,
            counter=("photo_api_share_link_access_total", "Share links asked for"),
            registry=registry,
        )
        self.share_guesses = Ranked(
            "photo_api_share_link_brute_force_attempts_total",
            "Unknown share tokens that were tried",
            ["client_id"],
            most=most,
            registry=registry,
        )
        self.share_images = Counter(
            "photo_api_share_link_image_access_total",
            "Images asked for by share links",
            ["token_status", "photo_in_album"],
            registry=registry,
        )

    def image_access(self, access_type: Access, result: Granted, seconds: float) -> None:
        self.image_accesses.observe(seconds, access_type, result)

    def share_opened(self, token_status: TokenStatus, result: Granted, seconds: float) -> None:
        self.share_access.observe(seconds, token_status, result)

    def share_guessed(self, client_id: str) -> None:
        self.share_guesses.inc(client_id)

    def share_image(self, token_status: TokenStatus, *, is_in_album: bool) -> None:
        self.share_images.labels(token_status, "yes" if is_in_album else "no").inc()
