"""What watches the house is what the table says, reads well, and leads to a page that helps."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from house.reading import ROOT
from house.test_pages import SHAPES
from monitoring.promtool import program
from mooring.observe.monitoring.checklist import EVERY, asked, checks_of
from mooring.observe.monitoring.export import ROWS, differing, files, watching_files, write
from mooring.observe.monitoring.guide_rows import GUIDE_ROWS
from mooring.observe.monitoring.pace import Pace
from mooring.observe.monitoring.panels import Panel, Query, Row
from mooring.observe.monitoring.places import Places
from mooring.observe.monitoring.promql import broken
from mooring.observe.monitoring.rules import RUNBOOKS, TABLE, name_of, rules
from mooring.observe.monitoring.thresholds import Measure

SHIPPED = ROOT / "deploy/monitoring"
EVERYTHING = Places(
    targets=["a:8000", "b:8000"],
    slack_url_file="/etc/slack",
    pagerduty_key_file="/etc/pagerduty",
    email_to="ops@example.org",
    smtp_user="mooring",
    smtp_password_file="/etc/smtp",
    webhook_url="http://127.0.0.1:1/",
)

# Guide 002, §9.1, and the last three of guide 003.
NAMED = {
    "ServiceDown": ("critical", 60), "HighErrorRate": ("critical", 120), "SlowResponseTime": ("critical", 120),
    "SlowLogin": ("warning", 120), "SlowImageAccess": ("critical", 120), "HighExceptionRate": ("critical", 120),
    "HighDBErrorRate": ("critical", 120), "ExternalServiceFailure": ("critical", 120),
    "LogQueueBackpressure": ("warning", 120), "PossibleDDoSAttack": ("critical", 120),
    "BruteForceAttack": ("critical", 120), "SuspiciousIPActivity": ("warning", 120),
    "HighCPUUsage": ("critical", 300), "HighMemoryUsage": ("critical", 300), "LowDiskSpace": ("critical", 300),
    "RecordCreationErrorRate": ("warning", 300), "BatchProcessingQueueDepth": ("warning", 300),
    "S3UploadFailureRate": ("warning", 300),
}  # fmt: skip
# Guide 002 again, §1 to §7: of each measure the warning and the critical, as (from, for so many minutes).
THRESHOLDS = {
    "ResponseTime": ((1, 5), (3, 2)), "SlowestResponseTime": (None, (5, 2)), "ErrorRate": ((1, 5), (5, 2)),
    "LoginTime": ((1, 5), (3, 2)), "ImageAccessTime": ((2, 5), (5, 2)), "ShareLinkTime": ((1, 5), (3, 2)),
    "ExternalTime": ((2, 5), (5, 2)), "ActiveSessions": ((100, 10), (200, 5)), "Exceptions": ((10, 5), (50, 2)),
    "DatabaseErrors": ((5, 5), (20, 2)), "ExternalErrors": ((5, 5), (20, 2)), "LogQueue": ((1000, 5), (5000, 2)),
    "RateLimitHits": ((100, 5), (500, 2)), "BlockedShare": ((10, 5), (30, 2)), "ShareGuesses": ((50, 5), (100, 2)),
    "ClientGuesses": (None, (200, 2)), "InvalidShareTokens": ((20, 5), (50, 2)),
    "ForeignShareImages": ((10, 5), (50, 2)),
    "DeniedImages": ((10, 5), (30, 2)), "CPUUsage": ((80, 10), (95, 5)), "MemoryUsage": ((85, 10), (95, 5)),
    "AvailableMemory": (None, (100e6, 5)), "DiskUsage": ((80, 10), (90, 5)), "AvailableDisk": (None, (1e9, 5)),
    "NetworkIn": ((200, 10), (500, 5)), "NetworkOut": ((200, 10), (500, 5)),
    "RegistrationFailures": ((10, 5), (30, 2)), "LoginFailures": ((20, 5), (50, 2)),
    "PresignFailures": ((5, 5), (15, 2)),
    "UploadCompletion": ((80, 10), (60, 5)), "ImageFailures": ((5, 5), (15, 2)), "StorageGrowth": ((10, 5), (50, 2)),
    "UserUploads": ((1e9, 5), (10e9, 2)),
}  # fmt: skip
BUSINESS_GAUGES = re.compile(
    r"photo_api_(users_total|albums_total|photos_total|share_links_total|object_storage_usage\w*|batch_queue_depth"
    r"|temp_upload_incomplete_after_ttl)"
)


# ── the table ──


def test_the_named_rules_are_there_with_their_severity_and_time() -> None:
    found = {rule.name: (rule.severity, rule.lasts) for rule in rules()}
    assert {name: found.get(name) for name in NAMED} == NAMED
    assert len(found) == len(rules()), "two alerts have one name"


def test_every_threshold_of_the_guide_is_in_the_table() -> None:
    def written(measure: Measure, severity: str) -> tuple[float, float] | None:
        of_these = [(one.value, one.lasts / 60) for one in measure.limits if one.severity == severity]
        return of_these[0] if of_these else None

    found = {measure.name: (written(measure, "warning"), written(measure, "critical")) for measure in TABLE}
    assert {name: found.get(name) for name in THRESHOLDS} == THRESHOLDS


def test_every_alert_says_what_it_is_and_leads_to_its_section() -> None:
    for rule in rules():
        said = rule.annotations()
        assert rule.severity in ("warning", "critical"), rule.name
        assert all(said[name] for name in ("summary", "description", "guide")), rule.name
        page, _, anchor = said["runbook_url"].partition("#")
        assert page.startswith(RUNBOOKS), rule.name
        section = sections(ROOT / page).get(anchor, "")
        assert f"`{rule.name}`" in section, f"{rule.name} is not explained in {page}#{anchor}"
        for part in ("**Means.**", "**Look at.**", "**Do.**"):
            assert part in section, f"{page}#{anchor} has no {part}"


def test_no_runbook_explains_an_alert_that_is_no_more() -> None:
    known = {rule.name for rule in rules()}
    for page in (ROOT / RUNBOOKS).glob("*.md"):
        heads = [line for line in page.read_text().splitlines() if line.startswith("`") and "(" in line]
        named = {name for line in heads for name in re.findall(r"`([A-Z]\w+)`", line)}
        assert named <= known, page


def sections(page: Path) -> dict[str, str]:
    """By their anchors, as GitHub and GitLab make them."""
    parts = re.split(r"(?m)^## (.+)$", page.read_text())
    return {head.strip().lower().replace(" ", "-"): text for head, text in zip(parts[1::2], parts[2::2], strict=True)}


# ── the files ──


def test_the_shipped_files_are_what_the_code_says() -> None:
    assert differing(SHIPPED, files(Places(_env_file=None))) == [], "run: make monitoring"


def test_a_file_that_was_changed_lost_or_left_over_is_noticed(tmp_path: Path) -> None:
    texts = watching_files(Places())
    write(tmp_path, texts)
    assert differing(tmp_path, texts) == []
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    (tmp_path / "rules/security.yml").unlink()
    (tmp_path / "rules/old.yml").write_text("groups: []\n")
    assert differing(tmp_path, texts) == ["prometheus.yml", "rules/old.yml", "rules/security.yml"]
    write(tmp_path, texts)
    assert differing(tmp_path, texts) == []


@pytest.mark.parametrize("places", [Places(), EVERYTHING], ids=["as shipped", "with every channel"])
@pytest.mark.parametrize("speed", [1, 60])
def test_prometheus_and_alertmanager_can_read_them(places: Places, speed: int, tmp_path: Path) -> None:
    write(tmp_path, watching_files(places, Pace(speed)))
    for check in (
        [program("promtool"), "check", "config", "prometheus.yml"],
        [program("amtool"), "check-config", "alertmanager.yml"],
    ):
        done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_channel_that_is_set_is_used(tmp_path: Path) -> None:
    text = watching_files(EVERYTHING)["alertmanager.yml"]
    for used in ("slack_configs", "pagerduty_configs", "email_configs", "webhook_configs", "/etc/smtp"):
        assert used in text
    assert "_configs" not in watching_files(Places())["alertmanager.yml"]


# ── PromQL ──


def test_no_panel_and_no_rule_is_broken() -> None:
    program("promtool")
    assert broken(ROWS) == ""


def test_a_broken_panel_is_noticed() -> None:
    program("promtool")
    row = Row("Wrong", [Panel("Wrong", "", "stat", [Query("sum(rate(http_requests_total[5m])")])])
    assert "could not parse expression" in (broken([row]) or "")


def texts() -> list[str]:
    """All PromQL that the house has."""
    panels = [query.expression for row in ROWS for panel in row.panels for query in panel.queries]
    checks = [asked(check, period) for period in EVERY for check in checks_of(period)]
    return [*panels, *checks, *(rule.expression for rule in rules())]


def test_every_metric_that_is_asked_for_is_one_of_ours() -> None:
    ours = {*SHAPES, *(f"{name}{ending}" for name in SHAPES for ending in ("_bucket", "_count"))}
    used = {name for text in texts() for name in re.findall(r"\b(?:http|photo_api)_\w+", text)}
    assert used - ours == set()


def test_what_is_the_same_from_every_instance_is_never_added_up() -> None:
    for text in texts():
        assert not re.search(rf"sum(?: by \([^)]*\))? ?\(\s*(?:delta\(|deriv\()?{BUSINESS_GAUGES.pattern}", text), text


# ── the dashboard ──


def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((SHIPPED / "grafana/mooring.json").read_text())
    return read


def test_the_dashboard_has_the_guides_rows_and_more() -> None:
    assert [len(row.panels) for row in GUIDE_ROWS] == [4] * 6
    found = [one["title"] for one in board()["panels"] if one["type"] == "row"]
    assert found == [row.title for row in ROWS]
    assert len({one["id"] for one in board()["panels"] if one["type"] != "row"}) == sum(len(row.panels) for row in ROWS)


def test_the_dashboard_refreshes_and_lets_choose() -> None:
    shown = board()
    assert shown["refresh"] == "30s"
    assert shown["time"] == {"from": "now-1h", "to": "now"}
    assert [link["title"] for link in shown["links"]] == ["1 h", "6 h", "24 h"]
    assert {"instance", "endpoint", "service"} <= {one["name"] for one in shown["templating"]["list"]}


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        where = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(where["x"], where["x"] + where["w"])
            for y in range(where["y"], where["y"] + where["h"])
        }
        assert not cells & taken, panel["title"]
        assert where["x"] + where["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("photo_api_ready", 'photo_api_ready{instance=~"$instance"}'),
        (
            'http_requests_total{status="200"}',
            'http_requests_total{status="200",instance=~"$instance",handler=~"$endpoint"}',
        ),
        ('http_requests_total{handler="/x"}', 'http_requests_total{handler="/x",instance=~"$instance"}'),
        (
            "rate(photo_api_external_request_errors_total[5m])",
            'rate(photo_api_external_request_errors_total{instance=~"$instance",service=~"$service"}[5m])',
        ),
        ("node_load1", 'node_load1{instance=~"$machine"}'),
    ],
)
def test_variables_are_put_into_every_selector(query: str, chosen: str) -> None:
    assert Query(query).expression == chosen


def test_names_of_alerts_follow_their_measure() -> None:
    for measure in TABLE:
        for limit in measure.limits:
            assert limit.alert or name_of(measure, limit) in (f"{measure.name}Warning", f"{measure.name}Critical")
