"""What uploads are counted by: URLs, confirms, what became of each, and how much there is by now."""

from prometheus_client import CollectorRegistry

from mooring.observe.growth import Growth
from mooring.observe.tally import Ranked, Spread, Tally
from mooring.observe.words import ARRIVALS, RESULTS, Arrival, Result

FILE_SIZE_BUCKETS = tuple(2.0**power for power in range(14, 34, 2))  # 16 KiB to 4 GiB
_KINDS = ("photo", "recording", "video")
_METHODS = ("presigned", "direct")


class OfUploads:
    growth: Growth

    def _count_uploads(self, registry: CollectorRegistry, most: int) -> None:
        each = [(result,) for result in RESULTS]
        self.presigned = Tally(
            "photo_api_presigned_url_generation_total",
            "Upload URLs asked for",
            ["result"],
            starts=each,
            registry=registry,
        )
        self.confirmed = Tally(
            "photo_api_photo_upload_confirm_total", "Confirms", ["result"], starts=each, registry=registry
        )
        self.uploaded = Tally(
            "photo_api_photo_upload_total",
            "Photos uploaded",
            ["upload_method", "result"],
            starts=[(method, result) for method in _METHODS for result in RESULTS],
            registry=registry,
        )
        self.file_size = Spread(
            "photo_api_photo_upload_file_size_bytes",
            "Sizes of the files that URLs were issued for, or that came directly",
            ["upload_method"],
            buckets=FILE_SIZE_BUCKETS,
            starts=[("presigned",)],
            registry=registry,
        )
        self.outcomes = Tally(
            "photo_api_upload_outcomes_total",
            "What became of uploads",
            ["kind", "outcome"],
            starts=[(kind, outcome) for kind in _KINDS for outcome in ARRIVALS],
            registry=registry,
        )
        # The guide's name, though counters end in `_total`: hence no counter of prometheus_client's.
        self.photo_bytes = Ranked(
            "photo_api_photo_upload_size_total_bytes",
            "Bytes of the photos that arrived",
            ["user_id"],
            most=most,
            registry=registry,
        )

    def issued(self, file_size: int) -> None:
        self.file_size.observe(file_size, "presigned")

    def presign(self, result: Result, count: int = 1) -> None:
        self.presigned.inc(result, by=count)

    def confirm(self, result: Result) -> None:
        self.confirmed.inc(result)
        self.uploaded.inc("presigned", result)

    def direct(self, result: Result, file_size: int | None = None) -> None:
        self.uploaded.inc("direct", result)
        if file_size is not None:
            self.file_size.observe(file_size, "direct")

    def stored(self, kind: str, user_id: int, file_size: int) -> None:
        """On the path of every confirm."""
        user = str(user_id)
        self.outcomes.inc(kind, "arrived")
        if kind == "photo":
            self.photo_bytes.count(user, by=file_size)
        self.growth.stored(kind, user, file_size)

    def ended(self, kind: str, outcome: Arrival) -> None:
        self.outcomes.inc(kind, outcome)
