"""The six rows of guide 002, four panels each, with its queries. A query that differs says why in its description."""

from mooring.observe.monitoring.panels import Panel, Query, Row

# A status that never occurred has no series: then the guide's quotient is empty, and that is zero.
ERROR_RATE = (
    '(sum(rate(http_requests_total{status=~"5.."}[5m])) or vector(0)) / sum(rate(http_requests_total[5m])) * 100'
)


def _p95(histogram: str, by: str, legend: str) -> list[Query]:
    return [Query(f"histogram_quantile(0.95, sum(rate({histogram}_bucket[5m])) by (le{by}))", legend)]


def _successes(handler: str, legend: str, status: str = "2..") -> list[Query]:
    return [Query(f'rate(http_requests_total{{{handler},status=~"{status}"}}[5m]) * 60', legend)]


HEALTH = Row("Service health", [
    Panel("Availability", "Whether the service is ready: 1 is ready, 0 is starting, stopping or down", "gauge",
          [Query("photo_api_ready", "{{instance}}")], warning=0.5, critical=0, most=1, less_is_worse=True),
    Panel("Active instances", "Instances that are ready. Of none, this says 0, where the guide's query says nothing",
          "stat",
          [Query("count(photo_api_ready == 1) or vector(0)")], critical=0, warning=1, less_is_worse=True),
    Panel("Throughput", "Requests a minute", "stat",
          [Query("sum(rate(http_requests_total[5m])) * 60")], unit="reqpm", decimals=0),
    Panel("Error rate",
          "Share of the requests that were answered with 5xx. Without any, 0, where the guide's query is empty",
          "stat", [Query(ERROR_RATE)], unit="percent", warning=1, critical=5, decimals=2),
])  # fmt: skip

PERFORMANCE = Row("Performance", [
    Panel("Response time", "Of all requests", "timeseries",
          [Query(f"histogram_quantile({q}, sum(rate(http_request_duration_seconds_bucket[5m])) by (le))", name)
           for q, name in (("0.50", "P50"), ("0.95", "P95"), ("0.99", "P99"))], unit="s", warning=1, critical=3),
    Panel("Response time by endpoint", "P95 of each", "timeseries",
          _p95("http_request_duration_seconds", ", handler", "{{handler}}"), unit="s", warning=1, critical=3),
    Panel("Login", "P95, by how it ended", "timeseries",
          _p95("photo_api_login_duration_seconds", ", result", "{{result}}"), unit="s", warning=1, critical=3),
    Panel("Image access", "P95, for owners and for those who have a share link", "timeseries",
          _p95("photo_api_image_access_duration_seconds", ", access_type", "{{access_type}}"),
          unit="s", warning=2, critical=5),
])  # fmt: skip

STABILITY = Row("Stability", [
    Panel("Exceptions", "A minute", "timeseries", [Query("rate(photo_api_exceptions_total[5m]) * 60", "{{instance}}")],
          unit="cpm", warning=10, critical=50),
    Panel("Database errors", "A minute", "timeseries", [Query("rate(photo_api_db_errors_total[5m]) * 60",
          "{{instance}}")],
          unit="cpm", warning=5, critical=20),
    Panel("Errors of other services", "A minute, by service", "timeseries",
          [Query("rate(photo_api_external_request_errors_total[5m]) * 60", "{{service}}")], unit="cpm", critical=10),
    Panel("Log queue", "Lines that wait to be sent", "timeseries",
          [Query("photo_api_log_queue_size", "{{instance}}")], warning=1000, critical=5000),
])  # fmt: skip

SECURITY = Row("Security", [
    Panel("Rate limit", "Requests refused a minute", "timeseries",
          [Query("rate(photo_api_rate_limit_hits_total[5m]) * 60", "{{endpoint}} {{client_id}}")],
          unit="cpm", warning=100, critical=500),
    Panel("Guessed share links", "Tokens a minute that nobody was given", "timeseries",
          [Query("rate(photo_api_share_link_brute_force_attempts_total[5m]) * 60", "{{client_id}}")],
          unit="cpm", warning=50, critical=100),
    Panel("Share links", "Openings a minute, by what became of them", "timeseries",
          [Query("rate(photo_api_share_link_access_total[5m]) * 60", "{{token_status}} {{result}}")], unit="cpm"),
    Panel("Suspicious clients", "Those most often refused, a minute", "table",
          [Query("topk(10, sum by (client_id) (rate(photo_api_rate_limit_hits_total[5m])) * 60)", "{{client_id}}")],
          unit="cpm", critical=200, is_instant=True, decimals=1),
])  # fmt: skip

RESOURCES = Row("Resources", [
    Panel("CPU", "In use", "timeseries",
          [Query('100 - (avg(rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100)', "CPU")],
          unit="percent", warning=80, critical=95, most=100),
    Panel("Memory", "In use", "timeseries",
          [Query("(1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)) * 100", "{{instance}}")],
          unit="percent", warning=85, critical=95, most=100),
    Panel("Disk", "Of the root file system, in use", "timeseries",
          [Query('(1 - (node_filesystem_avail_bytes{mountpoint="/"} / node_filesystem_size_bytes{mountpoint="/"}))'
                 " * 100", "{{instance}}")], unit="percent", warning=80, critical=90, most=100),
    Panel("Network", "In and out", "timeseries",
          [Query(f"rate(node_network_{way}_bytes_total[5m]) * 8 / 1024 / 1024", f"{name} {{{{device}}}}")
           for way, name in (("receive", "in"), ("transmit", "out"))], unit="Mbits"),
])  # fmt: skip

BUSINESS = Row("Business", [
    Panel("Registrations", "That succeed, a minute", "timeseries",
          _successes('handler="/auth/register"', "{{instance}}"), unit="cpm"),
    Panel("Logins", "That succeed, a minute", "timeseries",
          _successes('handler="/auth/login"', "{{instance}}"), unit="cpm"),
    Panel("Photos confirmed", "A minute", "timeseries",
          _successes('handler="/photos/confirm"', "{{instance}}"), unit="cpm"),
    Panel("Images seen", "A minute. With a CDN the answer is 302, which the guide's query leaves out; here it counts",
          "timeseries", _successes('handler=~"/photos/.*image"', "{{instance}} {{status}}", "2..|3.."), unit="cpm"),
])  # fmt: skip

GUIDE_ROWS = (HEALTH, PERFORMANCE, STABILITY, SECURITY, RESOURCES, BUSINESS)
