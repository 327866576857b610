"""Made-up metrics that put a measure at a chosen level, as promtool's series. Thirty seconds between two samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mooring.observe.monitoring.burn import Burn
from mooring.observe.monitoring.signals import Level, PerMinute, Quantile, Share
from mooring.observe.monitoring.thresholds import Measure

STEP = 30
A = 'instance="a:8000",job="mooring"'
MACHINE = 'instance="a:9100",job="node"'
REQUEST = 'http_requests_total{{instance="a:8000",method="POST",handler="{}",status="{}"}}'
BOUNDS: Mapping[str, tuple[float, ...]] = {
    "http_request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    "photo_api_login_duration_seconds": (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0),
    "photo_api_image_access_duration_seconds": (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    "photo_api_share_link_access_duration_seconds": (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    "photo_api_external_request_duration_seconds": (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
}
# The labels by which a series is one of those that a measure counts.
LABELS: Mapping[str, str] = {
    "ResponseTime": 'handler="/albums",method="GET",status="200"',
    "SlowestResponseTime": 'handler="/albums",method="GET",status="200"',
    "LoginTime": 'result="failure"',
    "SuccessfulLoginTime": 'result="success"',
    "ImageAccessTime": 'access_type="shared",result="success"',
    "ShareLinkTime": 'token_status="valid",result="success"',
    "ExternalTime": 'service="cdn"',
    "ExternalErrorCount": 'service="cdn"',
    "RateLimitHits": 'endpoint="read",client_id="other"',
    "ClientOverLimit": 'endpoint="read",client_id="192.0.2.0/24"',
    "ShareGuesses": 'client_id="other"',
    "ClientGuesses": 'client_id="192.0.2.0/24"',
    "ForeignShareImages": 'token_status="valid",photo_in_album="no"',
    "AvailableDisk": 'fstype="ext4",mountpoint="/data"',
}
HITS = 'photo_api_rate_limit_requests_total{{endpoint="read",status="{}"}}'
SHARE = 'photo_api_share_link_access_total{{token_status="{}",result="denied"}}'
IMAGE = 'photo_api_image_access_total{{access_type="shared",result="{}"}}'
OUTCOME = 'photo_api_upload_outcomes_total{{kind="photo",outcome="{}"}}'
RECORD = 'photo_api_record_creation_duration_seconds_count{{result="{}"}}'
# The bad ones and the good ones of a share.
SHARES: Mapping[str, tuple[str, str]] = {
    "ErrorRate": (REQUEST.format("/albums", 500), REQUEST.format("/albums", 200)),
    "BlockedShare": (HITS.format("blocked"), HITS.format("allowed")),
    "InvalidShareTokens": (SHARE.format("invalid"), SHARE.format("valid")),
    "DeniedImages": (IMAGE.format("denied"), IMAGE.format("success")),
    "RegistrationFailures": (REQUEST.format("/auth/register", 422), REQUEST.format("/auth/register", 201)),
    "LoginFailures": (REQUEST.format("/auth/login", 401), REQUEST.format("/auth/login", 200)),
    "PresignFailures": (REQUEST.format("/photos/presigned-url", 404), REQUEST.format("/photos/presigned-url", 200)),
    "UploadCompletion": (OUTCOME.format("incomplete"), OUTCOME.format("arrived")),
    "ImageFailures": (REQUEST.format("/photos/{photo_id}/image", 404), REQUEST.format("/photos/{photo_id}/image", 302)),
    "RecordCreation": (RECORD.format("failure"), RECORD.format("success")),
    "UploadFailures": (OUTCOME.format("rejected"), OUTCOME.format("arrived")),
}


@dataclass(frozen=True)
class Series:
    """`each` is added at every step, from `first` on."""

    name: str
    first: float
    each: float = 0

    def values(self, minutes: float, *, gone: bool = False, step: int = STEP) -> str:
        steps = round(minutes * 60 / step)
        return f"{self.first:.12g}+{self.each:.12g}x{steps}{' stale' if gone else ''}"


def at_level(measure: Measure, level: float) -> list[Series]:
    signal = measure.signal
    if isinstance(signal, Level):
        metric = signal.metric.partition("{")[0]
        return [Series(f"{metric}{{{LABELS.get(measure.name, A)}}}", level)]
    if isinstance(signal, PerMinute):
        metric = signal.counter.partition("{")[0]
        labels = LABELS.get(measure.name, A)
        return [Series(f"{metric}{{{labels}}}", 100, level * STEP / 60)]
    if isinstance(signal, Share):
        return in_part(measure.name, 100 - level if signal.counts_good else level)
    if isinstance(signal, Quantile):
        return buckets(signal, LABELS[measure.name], level)
    return WRITTEN[measure.name](level)


def in_part(name: str, percent: float) -> list[Series]:
    if name in ("ExternalErrors", "ExternalServiceDown"):
        return [
            Series('photo_api_external_request_errors_total{service="cdn"}', 0, percent),
            Series('photo_api_external_request_duration_seconds_count{service="cdn"}', 0, 100),
        ]
    bad, good = SHARES[name]
    return [Series(bad, 0, percent), Series(good, 0, 100 - percent)]


def buckets(signal: Quantile, labels: str, level: float, each: float = 1000) -> list[Series]:
    """So many observations a step, spread so that the quantile is `level`."""
    bounds = BOUNDS[signal.histogram]
    below = 0.0
    series: list[Series] = []
    for bound in bounds:
        counted = 0.0 if bound < level else each
        if below < level <= bound:  # the quantile lies a part of the way into this bucket: so much of it is before it
            way = (level - below) / (bound - below)
            at_lower = (signal.quantile - way) / (1 - way) * each if way < signal.quantile else 0.0
            counted = each if way < signal.quantile else each * signal.quantile / way
            series = [Series(one.name, 0, max(0.0, at_lower)) for one in series]
        below = bound
        series.append(Series(f'{signal.histogram}_bucket{{{labels},le="{bound:g}"}}', 0, counted))
    rest = [f'{signal.histogram}_bucket{{{labels},le="+Inf"}}', f"{signal.histogram}_count{{{labels}}}"]
    return [*series, *(Series(name, 0, each) for name in rest)]


def _database(level: float) -> list[Series]:
    return [
        Series(f"photo_api_db_errors_total{{{A}}}", 5, level * STEP / 120),
        Series(REQUEST.format("/albums", 200), 100),
        Series(REQUEST.format("/health/live", 200), 100, 5),
    ]


def _machine(metric: str, used: float, more: str = "") -> list[Series]:
    free, whole = {"memory": ("MemAvailable", "MemTotal"), "filesystem": ("avail", "size")}[metric]
    name = f"node_{metric}_{{}}_bytes{{{MACHINE}{more}}}"
    return [Series(name.replace("{}", free, 1), (100 - used) * 1e9), Series(name.replace("{}", whole, 1), 100e9)]


# What is written by hand in the table is made by hand here.
WRITTEN: Mapping[str, Callable[[float], list[Series]]] = {
    "DatabaseUnreachable": _database,
    "CPUUsage": lambda level: [
        Series(f'node_cpu_seconds_total{{{MACHINE},cpu="0",mode="idle"}}', 0, (100 - level) / 100 * STEP)
    ],
    "MemoryUsage": lambda level: _machine("memory", level),
    "DiskUsage": lambda level: _machine("filesystem", level, ',fstype="ext4",mountpoint="/data",device="/dev/vdb"'),
    "MachineUnseen": lambda level: [Series(f"up{{{MACHINE}}}", level)],
    "ServiceNotReady": lambda level: [Series(f"photo_api_ready{{{A}}}", level), Series(f"up{{{A}}}", 1)],
    "ServiceDown": lambda level: [Series(f"photo_api_ready{{{A}}}", level), Series(f"up{{{A}}}", 1)],
}
IS_UP = Series(f"up{{{A}}}", 1)


def failing_at(burn: Burn, share: float) -> list[Series]:
    """So much of the traffic fails, for as long as the long window is; four samples a short one."""
    return [
        Series(REQUEST.format("/albums", 500), 0, 10_000 * share),
        Series(REQUEST.format("/albums", 200), 0, 10_000 * (1 - share)),
    ]
