"""Rows beyond guide 002's six: growth (its section 7), the way of an upload, and who told of its arrival.

Business gauges come from the database and are the same from every instance: `max`, where `sum` would multiply them.
How a gauge grows is its `delta`; the guide's `rate` is for counters, and takes a deletion for a restart."""

from mooring.observe.monitoring.panels import Panel, Query, Row

BY_USER = "photo_api_object_storage_usage_by_user_bytes"
UPLOADED = "photo_api_photo_upload_size_total_bytes"


def _largest(metric: str, label: str = "") -> list[Query]:
    by = f" by ({label})" if label else ""
    return [Query(f"max{by} ({metric})" if by else f"max({metric})", f"{{{{{label}}}}}" if label else "all")]


def _grown(metric: str) -> Query:
    return Query(f"max(delta({metric}[1h]))", "within an hour")


def _per_user(metric: str) -> Query:
    return Query(f'max({metric}) / max(photo_api_users_total{{status="total"}})', "per user")


def _steps(function: str, window: str) -> list[tuple[str, str]]:
    """Recordings have a counter of their own for their URLs. Who had none yet has no series: that is 0."""

    def counted(counter: str, labels: str = '{result="success"}') -> str:
        return f"(sum({function}({counter}{labels}[{window}])) or vector(0))"

    return [
        (
            "issued",
            counted("photo_api_presigned_url_generation_total")
            + " + "
            + counted("photo_api_record_presign_duration_seconds_count"),
        ),
        ("arrived", counted("photo_api_upload_arrivals_total", "")),
        ("confirmed", counted("photo_api_photo_upload_confirm_total")),
        ("processed", counted("photo_api_processing_duration_seconds_count")),
    ]


GROWTH = Row("Growth", [
    Panel("Users", "All, and those who are active", "timeseries", _largest("photo_api_users_total", "status")),
    Panel("Users now", "All, and those who are active", "stat", _largest("photo_api_users_total", "status"), width=3),
    Panel("New users", "Within an hour", "stat", [_grown('photo_api_users_total{status="total"}')], width=3,
          decimals=0),
    Panel("Albums", "All, and those that are shared", "timeseries", _largest("photo_api_albums_total", "type")),
    Panel("Shared albums", "Of all", "stat",
          [Query('max(photo_api_albums_total{type="shared"}) / max(photo_api_albums_total{type="total"}) * 100',
          "shared")],
          unit="percent", width=3, decimals=1),
    Panel("Albums per user", "On average", "stat", [_per_user('photo_api_albums_total{type="total"}')], width=3,
          decimals=2),
    Panel("Photos", "All", "timeseries", _largest("photo_api_photos_total")),
    Panel("New photos", "Within an hour", "stat", [_grown("photo_api_photos_total")], width=3, decimals=0),
    Panel("Photos per user", "On average", "stat", [_per_user("photo_api_photos_total")], width=3, decimals=1),
    Panel("Share links", "All, and those that still open", "timeseries", _largest("photo_api_share_links_total",
          "status")),
    Panel("Storage", "In use", "timeseries", _largest("photo_api_object_storage_usage_bytes"), unit="bytes"),
    Panel("Storage now", "In use", "stat", _largest("photo_api_object_storage_usage_bytes"), unit="bytes", width=3),
    Panel("Storage growth", "Within an hour", "stat", [_grown("photo_api_object_storage_usage_bytes")], unit="bytes",
          width=3),
    Panel("Largest users", "By what they keep", "table",
          [Query(f"topk(10, max by (user_id) ({BY_USER}))", "user {{user_id}}")], unit="bytes", is_instant=True),
    Panel("Storage by user", "The ten largest", "bars",
          [Query(f"topk(10, max by (user_id) ({BY_USER}))", "user {{user_id}}")], unit="bytes", is_instant=True),
    Panel("Uploaded", "Bytes a second, together", "timeseries",
          [Query(f"sum(rate({UPLOADED}[5m]))", "all")], unit="Bps"),
    Panel("Uploaded by whom and when", "Bytes a second", "heatmap",
          [Query(f"sum by (user_id) (rate({UPLOADED}[5m]))", "user {{user_id}}")], unit="Bps", width=24),
])  # fmt: skip

UPLOADS = Row("The way of an upload", [
    Panel("Funnel", "Of the uploads of the last hour. Issued: URLs handed out. Arrived: seen in storage, whoever told. "
          "Confirmed: photos that their client told of. Processed: done", "bars",
          [Query(text, f"{place} {name}") for place, (name, text) in enumerate(_steps("increase", "1h"), 1)],
          is_instant=True, decimals=0),
    Panel("Each step", "A minute", "timeseries",
          [Query(f"({text}) * 60", name) for name, text in _steps("rate", "5m")], unit="cpm"),
    Panel("What became of them", "Uploads a minute whose end is known, by kind", "timeseries",
          [Query("sum by (kind, outcome) (rate(photo_api_upload_outcomes_total[5m])) * 60", "{{kind}} {{outcome}}")],
          unit="cpm"),
    Panel("Never arrived", "Uploads whose URL lapsed without a file", "timeseries",
          _largest("photo_api_temp_upload_incomplete_after_ttl")),
    Panel("Processing time", "P95, by kind", "timeseries",
          [Query("histogram_quantile(0.95, sum(rate(photo_api_processing_duration_seconds_bucket[5m])) by (le, kind))",
                 "{{kind}}")], unit="s"),
    Panel("Queue", "Jobs that are due, and that are worked on", "timeseries",
          [Query("max(photo_api_batch_queue_depth)", "due"), Query("sum(photo_api_processing_jobs_active)", "at work")],
          warning=100),
    Panel("Recordings", "P95 of a URL and of a record", "timeseries",
          [Query("histogram_quantile(0.95, sum(rate(photo_api_record_presign_duration_seconds_bucket[5m])) by (le))",
          "URL"),
           Query("histogram_quantile(0.95, sum(rate(photo_api_record_creation_duration_seconds_bucket[5m])) by (le))",
                 "record")], unit="s"),
    Panel("Recordings done at once", "Of those created", "stat",
          [Query('(sum(increase(photo_api_immediate_processing_total{result="completed"}[1h])) or vector(0)) / '
                 "sum(increase(photo_api_immediate_processing_total[1h])) * 100")],
          unit="percent", decimals=1),
])  # fmt: skip

TRIGGERS = Row("Triggers", [
    Panel("Arrivals", "A minute, by who told of them", "timeseries",
          [Query("sum by (trigger) (rate(photo_api_upload_arrivals_total[5m])) * 60", "{{trigger}}")], unit="cpm"),
    Panel("Arrival lag", "P95 from the file in storage to its arrival", "timeseries",
          [Query("histogram_quantile(0.95, sum(rate(photo_api_upload_arrival_lag_seconds_bucket[5m])) "
                 "by (le, trigger))", "{{trigger}}")], unit="s"),
    Panel("Storage events", "A minute, by what became of them", "timeseries",
          [Query("sum by (result) (rate(photo_api_storage_events_total[5m])) * 60", "{{result}}")], unit="cpm"),
    Panel("Told to others", "Webhooks a minute, and streams that listen", "timeseries",
          [Query("sum by (result) (rate(photo_api_webhook_deliveries_total[5m])) * 60", "webhooks {{result}}"),
           Query("sum(photo_api_live_streams)", "streams")]),
])  # fmt: skip

MORE_ROWS = (GROWTH, UPLOADS, TRIGGERS)
