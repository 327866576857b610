"""The checklists of guide 002 §10: what is looked at each day, each week and each month, and when it is well.

`{span}` is the time that the report is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mooring.observe.monitoring.burn import BUDGET, GOAL
from mooring.observe.monitoring.guide_rows import ERROR_RATE
from mooring.observe.monitoring.service_thresholds import ASKED, FAILED, SERVED, TIMED

Period = Literal["day", "week", "month"]
SPANS: dict[Period, str] = {"day": "1d", "week": "7d", "month": "30d"}
HEADS: dict[Period, str] = {"day": "Daily checks", "week": "Weekly review", "month": "Monthly review"}
EVERY: Sequence[Period] = ("day", "week", "month")

_FAILED_SHARE = f"(sum(increase({FAILED}[{{span}}])) or vector(0)) / (sum(increase({SERVED}[{{span}}])) > 0)"
_P95 = f"histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{TIMED}[{{span}}]{{before}})))"

_FREE = 'node_filesystem_avail_bytes{mountpoint="/"}'
# Of less history than the span, a pace says nothing.
DAYS_LEFT = f"{_FREE} / (-deriv({_FREE}[{{span}}]) > 0) / 86400 and {_FREE} offset {{span}}"


@dataclass(frozen=True, slots=True)
class Check:
    """Well where every number is within `least` and `most`; where neither is given it is there to be looked at."""

    area: str
    title: str
    expression: str
    unit: str = "short"
    least: float | None = None
    most: float | None = None
    legend: str = ""
    when: Sequence[Period] = EVERY
    none_is_well: bool = False  # no series: nothing of the sort happened
    decimals: int | None = None


def _happened(counter: str, by: str) -> str:
    return f"sum by ({by}) (increase({counter}[{{span}}])) > 0"


CHECKS: Sequence[Check] = (
    Check("Availability", "Ready instances now", "sum(photo_api_ready)", least=1),
    Check("Availability", f"Time with an instance up (goal {GOAL:g} %)",
          'avg_over_time((max(up{job="mooring"}))[{span}:1m]) * 100', "percent", least=GOAL, decimals=3),
    Check("Availability", f"Requests without a server error (goal {GOAL:g} %)", f"(1 - {_FAILED_SHARE}) * 100",
          "percent", least=GOAL, decimals=3),
    Check("Availability", "Error budget used", f"{_FAILED_SHARE} / {BUDGET:.3f} * 100", "percent", most=100,
          when=("month",), decimals=1),
    Check("Availability", "Error rate now", ERROR_RATE, "percent", most=1,
    decimals=2),
    Check("Performance", "P95 of the time to answer", _P95, "s", most=1),
    Check("Performance", "P95 in the span before", _P95.replace("{before}", " offset {span}"), "s", when=("week",
    "month")),
    Check("Performance", "Requests a minute", f"sum(rate({ASKED}[{{span}}])) * 60", "reqpm"),
    Check("Performance", "Requests a minute, at the highest",
          f"max_over_time((sum(rate({ASKED}[5m])) * 60)[{{span}}:5m])", "reqpm", when=("week", "month")),
    Check("Alerts", "Critical alerts now", 'count by (alertname) (ALERTS{alertstate="firing",severity="critical"})',
          most=0, legend="{{alertname}}", none_is_well=True),
    Check("Alerts", "Time that alerts were firing",
          'sum by (alertname) (sum_over_time((count by (alertname) (ALERTS{alertstate="firing"}))[{span}:1m])) * 60',
          "s",
          legend="{{alertname}}", none_is_well=True, when=("week", "month")),
    Check("Resources", "CPU, on average",
          '100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[{span}])) * 100', "percent", most=80,
          legend="{{instance}}"),
    Check("Resources", "Memory, at the most",
          "max_over_time(((1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) * 100)[{span}:5m])",
          "percent",
          most=85, legend="{{instance}}"),
    Check("Resources", "Disk now",
          '(1 - node_filesystem_avail_bytes{mountpoint="/"} / node_filesystem_size_bytes{mountpoint="/"}) * 100',
          "percent", most=80, legend="{{instance}}"),
    Check("Resources", "Days until the disk is full, at this pace", DAYS_LEFT, least=60, legend="{{instance}}",
          none_is_well=True, when=("week", "month"), decimals=0),
    Check("Security", "Requests that a limit refused", _happened("photo_api_rate_limit_hits_total", "endpoint"),
    most=1000,
          legend="{{endpoint}}", none_is_well=True),
    Check("Security", "Clients most often refused",
          'topk(5, sum by (client_id) (increase(photo_api_rate_limit_hits_total[{span}])) > 0)', legend="{{client_id}}",
          none_is_well=True, when=("week", "month"), decimals=0),
    Check("Security", "Guessed share links", _happened("photo_api_share_link_brute_force_attempts_total", "client_id"),
          most=100, legend="{{client_id}}", none_is_well=True),
    Check("Security", "Failed logins",
          'sum(increase(http_requests_total{handler="/auth/login",status=~"4.."}[{span}]))', most=500,
          none_is_well=True,
          decimals=0),
    Check("Security", "Images of other albums asked for",
          'sum(increase(photo_api_share_link_image_access_total{photo_in_album="no"}[{span}]))', most=10,
          none_is_well=True, decimals=0),
    Check("Other services", "Failed calls", _happened("photo_api_external_request_errors_total", "service"), most=10,
          legend="{{service}}", none_is_well=True),
    Check("Other services", "P95 of calls",
          "histogram_quantile(0.95, sum by (le, service) "
          "(rate(photo_api_external_request_duration_seconds_bucket[{span}])))", "s", most=2, legend="{{service}}"),
    Check("Business", "Registrations",
          'sum(increase(http_requests_total{handler="/auth/register",status=~"2.."}[{span}]))', decimals=0),
    Check("Business", "Logins", 'sum(increase(http_requests_total{handler="/auth/login",status=~"2.."}[{span}]))',
          decimals=0),
    Check("Business", "What became of uploads", "sum by (outcome) (increase(photo_api_upload_outcomes_total[{span}]))",
          legend="{{outcome}}", decimals=0),
    Check("Growth", "New users", 'max(delta(photo_api_users_total{status="total"}[{span}]))', decimals=0),
    Check("Growth", "New photos", "max(delta(photo_api_photos_total[{span}]))", decimals=0),
    Check("Growth", "Growth of the storage", "max(delta(photo_api_object_storage_usage_bytes[{span}]))", "bytes"),
    Check("Monitoring", "Scrapes that came", "avg by (job) (avg_over_time(up[{span}])) * 100", "percent", least=99,
          legend="{{job}}", when=("month",), decimals=2),
    Check("Monitoring", "Series that are kept", "sum by (job) (scrape_samples_scraped)", legend="{{job}}", most=50_000,
          when=("week", "month")),
)  # fmt: skip


def checks_of(period: Period) -> list[Check]:
    return [check for check in CHECKS if period in check.when]


def asked(check: Check, period: Period) -> str:
    return check.expression.replace("{before}", "").replace("{span}", SPANS[period])
