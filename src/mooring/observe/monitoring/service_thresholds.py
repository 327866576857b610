"""Availability, performance and stability: sections 1 to 3 of the monitoring guide."""

from mooring.observe.monitoring.pace import MINUTE, SECOND
from mooring.observe.monitoring.signals import Level, PerMinute, Quantile, Share, Written
from mooring.observe.monitoring.thresholds import Measure, critical, warning

# Probes and scrapes are no traffic: they hide errors among themselves, and a /health that says 503 while an instance
# drains is no error.
PROBES = "/health|/health/live|/metrics"
ASKED = f'http_requests_total{{handler!~"{PROBES}"}}'
# Nor is what is refused for coming too often: a flood that the limits hold off would hide the errors of everybody else.
SERVED = f'http_requests_total{{handler!~"{PROBES}",status!="429"}}'
FAILED = f'http_requests_total{{handler!~"{PROBES}",status=~"5.."}}'
# How long these take is up to the client's line, or to how long somebody listens.
TRANSFERS = "/storage/.*|/photos/|/photos/.*image|/share/.*image|/api/videos/.*stream|/uploads/stream|/ws/.*"
TIMED = f'{{handler!~"{PROBES}|{TRANSFERS}",status!="429"}}'

DOWN = 'up{job="mooring"} == 0'
NEEDS_NO_DATABASE = "/health/live|/metrics|/docs|/openapi.json|/storage/.*|none"

AVAILABILITY = (
    Measure(
        "ServiceNotReady", "availability", "guide 002 §1.1", "An instance is not ready",
        Written(f"photo_api_ready == 0 or {DOWN}"), [warning(0, 30 * SECOND, "ServiceNotReady")],
        op="==", by=["instance"], subject="service",
        why="A process that is gone has no photo_api_ready at all, so the guide's `photo_api_ready == 0` is silent "
        "just then: `up` is asked too.",
    ),
    Measure(
        "ServiceDown", "availability", "guide 002 §1.1, §9.1", "An instance is down",
        Written(f'photo_api_ready == 0 or {DOWN} or absent(up{{job="mooring"}}) - 1'),
        [critical(0, MINUTE, "ServiceDown")], op="==", by=["instance"], subject="service",
        why="As ServiceNotReady; and where every instance is gone from what Prometheus looks for, "
        "`absent` tells, for then there is no `up` either.",
    ),
)  # fmt: skip

PERFORMANCE = (
    Measure(
        "ResponseTime", "performance", "guide 002 §2.1", "P95 of the time to answer",
        Quantile("http_request_duration_seconds", TIMED),
        [warning(1), critical(3, alert="SlowResponseTime")], "s",
        why="Uploads through the server, streams and images are left out: they take as long as the client's line does, "
        "and images have a measure of their own. So are quick refusals with 429, which hide the slow ones. A handful "
        "of requests is not judged.",
    ),
    Measure(
        "SlowestResponseTime", "performance", "guide 002 §2.1", "P99 of the time to answer",
        Quantile("http_request_duration_seconds", TIMED, 0.99), [critical(5)], "s", subject="ResponseTime",
        why="As ResponseTime.",
    ),
    Measure(
        "ErrorRate", "availability", "guide 002 §2.1", "Requests answered with 5xx", Share(FAILED, SERVED),
        [warning(1), critical(5, alert="HighErrorRate")], "%",
        why="Without traffic the guide's is 0/0, and of three requests one failure is 33 %: it is judged from ten "
        "requests in five minutes on. Health checks are left out: they thin the errors, and while an instance "
        "drains they are 503. So are refusals with 429, of which a flood has as many as it likes.",
    ),
    Measure(
        "TrafficSurge", "performance", "guide 002 §2.1", "Requests, against the average of the day before",
        Written(
            f"sum(rate({ASKED}[5m])) / sum(rate({ASKED}[1d] offset 5m))",
            f"sum(rate({ASKED}[5m])) * 60 >= 600 and count({ASKED} offset 1d) > 0",
        ),
        [critical(5)], "times the usual",
        why="The guide gives no number for a surge: five times the day's average, from 600 requests a minute on. "
        "Without a day of history there is no usual: rate over a day divides by the day, however little of it "
        "there is.",
    ),
    Measure(
        "LoginTime", "performance", "guide 002 §2.2", "P95 of the time to sign in",
        Quantile("photo_api_login_duration_seconds"), [warning(1), critical(3)], "s",
        why="A handful of logins is not judged.",
    ),
    Measure(
        "SuccessfulLoginTime", "performance", "guide 002 §9.1", "P95 of the time to sign in successfully",
        Quantile("photo_api_login_duration_seconds", '{result="success"}'),
        [warning(3, 2 * MINUTE, "SlowLogin")], "s", subject="LoginTime",
        why="A handful of logins is not judged. The guide's table calls the same three seconds critical, its rule a "
        "warning: both are here, and LoginTimeCritical silences this one.",
    ),
    Measure(
        "ImageAccessTime", "performance", "guide 002 §2.2", "P95 of the time to an image",
        Quantile("photo_api_image_access_duration_seconds", '{result="success"}'),
        [warning(2), critical(5, alert="SlowImageAccess")], "s",
        why="A handful of images is not judged. Refusals are left out, as in the guide's rule: they are quick and "
        "hide the slow ones. P95 can't exceed the last bound, 5 s, and the guide wants more than that: it is "
        "`>=`.",
        op=">=",
    ),
    Measure(
        "ShareLinkTime", "performance", "guide 002 §2.2", "P95 of the time to open a share link",
        Quantile("photo_api_share_link_access_duration_seconds"), [warning(1), critical(3)], "s",
        why="A handful of openings is not judged.",
    ),
    Measure(
        "ExternalTime", "performance", "guide 002 §2.2", "P95 of the time that another service takes",
        Quantile("photo_api_external_request_duration_seconds", by=["service"]),
        [warning(2), critical(5)], "s", by=["service"],
        why="Each service by itself, so that a quick one doesn't hide a slow one. A handful of calls is not judged.",
    ),
    Measure(
        "ActiveSessions", "performance", "guide 002 §2.3", "Requests under way of people signed in",
        Level("photo_api_active_sessions"), [warning(100, 10 * MINUTE), critical(200, 5 * MINUTE)],
        op=">=", by=["instance"],
    ),
)  # fmt: skip

ERRORS = "photo_api_external_request_errors_total"
CALLS = "photo_api_external_request_duration_seconds_count"

STABILITY = (
    Measure(
        "Exceptions", "stability", "guide 002 §3.1", "Exceptions nobody expected",
        PerMinute("photo_api_exceptions_total"),
        [warning(10), critical(50, alert="HighExceptionRate")], "/min", op=">=",
        why="Of all instances together: the guide's rule looks at each by itself, and ten with 49 a minute are 490.",
    ),
    Measure(
        "DatabaseErrors", "stability", "guide 002 §3.1", "Failed statements and lost connections",
        PerMinute("photo_api_db_errors_total"), [warning(5), critical(20, alert="HighDBErrorRate")], "/min", op=">=",
        why="Of all instances together, as Exceptions.",
    ),
    Measure(
        "DatabaseUnreachable", "stability", "guide 002 §3.1",
        "Database errors of an instance that answers nothing else",
        Written(
            "sum by (instance) (increase(photo_api_db_errors_total[2m]))",
            f'sum by (instance) (increase(http_requests_total{{status=~"2..|3..",handler!~"{NEEDS_NO_DATABASE}"}}[2m]))'
            " == 0",
        ),
        [critical(2, MINUTE, "DatabaseUnreachable")], by=["instance"], subject="DatabaseErrors",
        why="The guide says `DB connection impossible` and names no metric: errors in the last two minutes, and not "
        "one answer that needed the database.",
    ),
    Measure(
        "ExternalErrors", "stability", "guide 002 §3.1", "Calls to another service that fail",
        Share(ERRORS, CALLS, by=["service"]), [warning(5), critical(20)], "%", by=["service"],
        why="Of the calls to that service; a handful is not judged.",
    ),
    Measure(
        "ExternalServiceDown", "stability", "guide 002 §2.2, §3.1", "Calls to another service that fail",
        Share(ERRORS, CALLS, by=["service"], fewest=3), [critical(99, MINUTE, "ExternalServiceDown")], "%",
        by=["service"],
        subject="ExternalErrors", why="The guide's `complete failure`: already three calls tell, if none succeeds.",
    ),
    Measure(
        "ExternalErrorCount", "stability", "guide 002 §9.1", "Failed calls to another service",
        PerMinute(ERRORS, by=["service"]), [critical(10, alert="ExternalServiceFailure")], "/min", by=["service"],
        subject="ExternalErrors", why="Of all instances together, as Exceptions.",
    ),
    Measure(
        "LogQueue", "stability", "guide 002 §3.2", "Log lines that wait to be sent", Level("photo_api_log_queue_size"),
        [warning(1000), critical(5000)], by=["instance"],
    ),
    Measure(
        "LongLogQueue", "stability", "guide 002 §9.1", "Log lines that wait to be sent",
        Level("photo_api_log_queue_size"),
        [warning(5000, 2 * MINUTE, "LogQueueBackpressure")], by=["instance"], subject="LogQueue",
        why="The guide's table calls the same 5000 critical, its rule a warning: both are here, and LogQueueCritical "
        "silences this one.",
    ),
)  # fmt: skip
