"""Section 4 of the monitoring guide: limits, guessing, images of others."""

from mooring.observe.monitoring.pace import MINUTE
from mooring.observe.monitoring.signals import PerMinute, Share
from mooring.observe.monitoring.thresholds import Measure, critical, warning

HITS = "photo_api_rate_limit_hits_total"
GUESSES = "photo_api_share_link_brute_force_attempts_total"
A_CROWD = "`other` is left out: it is a crowd, not one client."
TOGETHER = "All together: the guide's rule looks at each series by itself, and is silent in an attack from everywhere."

SECURITY = (
    Measure(
        "RateLimitHits", "security", "guide 002 §4.1", "Requests refused with 429", PerMinute(HITS),
        [warning(100), critical(500, alert="PossibleDDoSAttack")], "/min", op=">=", why=TOGETHER,
    ),
    Measure(
        "ClientOverLimit", "security", "guide 002 §4.1, §9.1", "Requests of one client refused with 429",
        PerMinute(f'{HITS}{{client_id!="other"}}', by=["client_id"]),
        [warning(200, 2 * MINUTE, "SuspiciousIPActivity"), critical(200)], "/min", op=">=", by=["client_id"],
        why=f"The guide's table calls 200 a minute critical, its rule a warning: both are here. {A_CROWD}",
    ),
    Measure(
        "BlockedShare", "security", "guide 002 §4.1", "Requests that a limit refuses",
        Share('photo_api_rate_limit_requests_total{status="blocked"}', "photo_api_rate_limit_requests_total"),
        [warning(10), critical(30)], "%", why="A handful of requests is not judged.",
    ),
    Measure(
        "ShareGuesses", "security", "guide 002 §4.2", "Share tokens that nobody was given", PerMinute(GUESSES),
        [warning(50), critical(100, alert="BruteForceAttack")], "/min", op=">=", why=TOGETHER,
    ),
    Measure(
        "ClientGuesses", "security", "guide 002 §4.2", "Share tokens that one client guesses at",
        PerMinute(f'{GUESSES}{{client_id!="other"}}', by=["client_id"]), [critical(200)], "/min", op=">=",
        by=["client_id"], why=A_CROWD,
    ),
    Measure(
        "InvalidShareTokens", "security", "guide 002 §4.2", "Share links asked for that do not exist",
        Share('photo_api_share_link_access_total{token_status="invalid"}', "photo_api_share_link_access_total"),
        [warning(20), critical(50)], "%", why="A handful of openings is not judged.",
    ),
    Measure(
        "ForeignShareImages", "security", "guide 002 §4.2", "Images asked for by a link of another album",
        PerMinute('photo_api_share_link_image_access_total{photo_in_album="no"}'), [warning(10), critical(50)], "/min",
        op=">=",
    ),
    Measure(
        "DeniedImages", "security", "guide 002 §4.3", "Images that were denied",
        Share('photo_api_image_access_total{result="denied"}', "photo_api_image_access_total"),
        [warning(10), critical(30)], "%", why="A handful of images is not judged.",
    ),
)  # fmt: skip
