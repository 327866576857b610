"""The reference pages say what the code says: every setting and every metric, and nothing else."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from house.reading import ROOT, sources, table
from mooring.observe.growth import GAUGES, Counted, Growth
from mooring.observe.metrics import LEAST, SUMMED, Metrics
from mooring.observe.monitoring.places import Places
from mooring.observe.tally import Spread, Tally
from mooring.settings import Settings, usual_data_folder
from mooring.web.errors import OF_HTTP, STATUS

SETTINGS = ROOT / "docs/reference/settings.md"
METRICS = ROOT / "docs/reference/metrics.md"
ERRORS = ROOT / "docs/reference/errors.md"

# What guides 000, 001 and 002 name: type and labels, as the guides write them.
Shape = tuple[type[MetricWrapperBase], tuple[str, ...]]
REQUEST = ("method", "handler", "status")
OF_THE_GUIDES: Mapping[str, Shape] = {
    "photo_api_ready": (Gauge, ()),
    "photo_api_app_info": (Gauge, ("node", "app", "version", "environment")),
    "http_requests_total": (Counter, REQUEST),
    "http_request_duration_seconds": (Histogram, REQUEST),
    "photo_api_login_duration_seconds": (Histogram, ("result",)),
    "photo_api_active_sessions": (Gauge, ()),
    "photo_api_rate_limit_requests_total": (Counter, ("endpoint", "status")),
    "photo_api_rate_limit_hits_total": (Counter, ("endpoint", "client_id")),
    "photo_api_exceptions_total": (Counter, ()),
    "photo_api_db_errors_total": (Counter, ()),
    "photo_api_presigned_url_generation_total": (Counter, ("result",)),
    "photo_api_photo_upload_confirm_total": (Counter, ("result",)),
    "photo_api_photo_upload_total": (Counter, ("upload_method", "result")),
    "photo_api_photo_upload_file_size_bytes": (Histogram, ("upload_method",)),
    "photo_api_temp_upload_incomplete_after_ttl": (Gauge, ()),
    "photo_api_image_access_total": (Counter, ("access_type", "result")),
    "photo_api_image_access_duration_seconds": (Histogram, ("access_type", "result")),
    "photo_api_external_request_duration_seconds": (Histogram, ("service",)),
    "photo_api_external_request_errors_total": (Counter, ("service",)),
    "photo_api_share_link_access_total": (Counter, ("token_status", "result")),
    "photo_api_share_link_access_duration_seconds": (Histogram, ("token_status", "result")),
    "photo_api_share_link_brute_force_attempts_total": (Counter, ("client_id",)),
    "photo_api_share_link_image_access_total": (Counter, ("token_status", "photo_in_album")),
    "photo_api_log_queue_size": (Gauge, ()),
    "photo_api_users_total": (Gauge, ("status",)),
    "photo_api_albums_total": (Gauge, ("type",)),
    "photo_api_photos_total": (Gauge, ()),
    "photo_api_share_links_total": (Gauge, ("status",)),
    "photo_api_object_storage_usage_bytes": (Gauge, ()),
    "photo_api_object_storage_usage_by_user_bytes": (Gauge, ("user_id",)),
    "photo_api_photo_upload_size_total_bytes": (Counter, ("user_id",)),
}
# What they don't name: no metric and no label without a reason.
OURS: Mapping[str, tuple[Shape, str]] = {
    "photo_api_processing_duration_seconds": (
        (Histogram, ("kind", "result")),
        "guide 003 asks for the time of processing, and names it in no language of ours",
    ),
    "photo_api_processing_jobs_active": ((Gauge, ()), "guide 003's active jobs"),
    "photo_api_batch_queue_depth": ((Gauge, ()), "guide 003's batch.processing.queue.depth"),
    "photo_api_record_presign_duration_seconds": ((Histogram, ("result",)), "guide 003's timer of its presigned URLs"),
    "photo_api_record_creation_duration_seconds": (
        (Histogram, ("result",)),
        "guide 003's timer of records, and its record.creation.error.rate",
    ),
    "photo_api_immediate_processing_total": ((Counter, ("result",)), "guide 003's ratio of immediate processing"),
    "photo_api_upload_arrivals_total": ((Counter, ("trigger",)), "guide 004's comparison of the triggers"),
    "photo_api_upload_arrival_lag_seconds": ((Histogram, ("trigger",)), "guide 004's comparison of the triggers"),
    "photo_api_storage_events_total": ((Counter, ("result",)), "an event that nobody understood is seen nowhere else"),
    "photo_api_upload_outcomes_total": (
        (Counter, ("kind", "outcome")),
        "guide 003's s3.upload.failure.rate: rejected and incomplete of all",
    ),
    "photo_api_live_streams": ((Gauge, ()), "requests that stay open are in no other metric"),
    "photo_api_webhook_deliveries_total": ((Counter, ("result",)), "an endpoint that refuses is seen nowhere else"),
    "photo_api_rate_limit_store_errors_total": ((Counter, ()), "limits that are not shared for a while look as ever"),
    "photo_api_log_lines_dropped_total": (
        (Counter, ("reason",)),
        "a queue that is full is short of lines that nobody would miss otherwise",
    ),
}
SHAPES: Mapping[str, Shape] = {**OF_THE_GUIDES, **{name: shape for name, (shape, _) in OURS.items()}}
ONE_OF_EACH = Counted(1, 1, 1, 1, 1, 1, 1, 1, 1, {"1": 1})
REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]


# ── settings ──


def names_of(field: str, about: FieldInfo) -> str:
    """As the page writes them."""
    aliases = about.validation_alias
    names = aliases.choices if isinstance(aliases, AliasChoices) else [f"MOORING_{field.upper()}"]
    return ", ".join(f"`{name}`" for name in names)


def default_of(about: FieldInfo) -> str | None:
    """As the page writes it; None where it is found out at run time."""
    if about.default is PydanticUndefined:
        return None
    if about.default is None or about.default == []:
        return "–"
    if isinstance(about.default, list):
        return f"`{','.join(about.default)}`"
    return f"`{str(about.default).lower() if isinstance(about.default, bool) else about.default}`"


def documented(page: Path) -> dict[str, str]:
    rows = table(page, "Variable")
    assert len({row[0] for row in rows}) == len(rows), "a variable is explained twice"
    assert all(len(row) == 3 and row[2] for row in rows), "a variable is not explained"
    return {row[0]: row[1] for row in rows}


def test_every_setting_is_on_its_page_with_its_names_and_default() -> None:
    page = documented(SETTINGS)
    expected = {names_of(field, about): default_of(about) for field, about in Settings.model_fields.items()}
    expected |= {f"`MOORING_MONITORING_{field.upper()}`": default_of(one) for field, one in Places.model_fields.items()}
    assert set(page) == set(expected)
    assert {names: page[names] for names, default in expected.items() if default not in (None, page[names])} == {}


def test_the_usual_data_folder_is_the_one_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for user, folder in ((0, "/var/lib/mooring"), (1000, str(Path.home() / ".local/share/mooring"))):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        assert str(usual_data_folder()) == folder
    assert documented(SETTINGS)["`MOORING_DATA`"] == "`/var/lib/mooring` for root, else `~/.local/share/mooring`"


def test_a_setting_that_is_not_on_the_page_is_noticed(tmp_path: Path) -> None:
    class More(Settings):
        colour: str = "blue"

    assert names_of("colour", More.model_fields["colour"]) not in documented(SETTINGS)
    page = tmp_path / "settings.md"
    page.write_text("| Variable | Default | Meaning |\n|---|---|---|\n| `MOORING_COLOUR` | `red` | Of the hull |\n")
    assert documented(page) == {"`MOORING_COLOUR`": "`red`"}
    assert default_of(More.model_fields["colour"]) == "`blue`"


def test_no_variable_is_read_past_the_settings() -> None:
    """The shell for psql hands the environment on, and reads nothing in it."""
    reading = {one.name for one in sources() if "os.environ" in one.text or "getenv" in one.text}
    assert reading == {"settings.py", "db/shell.py"}


# ── metrics ──


def registered(metrics: Metrics) -> dict[str, Any]:
    """By the name that a scrape shows. Of the gauges of growth, which are one thing, only what they are."""
    found: dict[str, Any] = dict.fromkeys(GAUGES, metrics.growth)
    for one in vars(metrics).values():
        if isinstance(one, Tally | Spread):
            found[one.name] = one
            if isinstance(one, Spread) and one.counter:
                found[one.counter[0]] = one
        elif isinstance(one, MetricWrapperBase) and one._labelvalues == ():
            found[f"{one._name}_total" if isinstance(one, Counter) else one._name] = one
    return found


def shape(name: str, one: Any) -> Shape:
    if isinstance(one, Growth):
        return Gauge, GAUGES[name][1]
    if isinstance(one, Tally | Spread):
        return Histogram if isinstance(one, Spread) and one.name == name else Counter, one.labels
    return type(one), tuple(one._labelnames)


def test_names_labels_and_types_are_the_guides_and_what_is_beyond_them_has_its_reason() -> None:
    assert {name: shape(name, one) for name, one in registered(Metrics()).items()} == SHAPES
    assert not OURS.keys() & OF_THE_GUIDES.keys()
    assert all(len(reason) > 10 for _, reason in OURS.values())


def test_nothing_is_in_the_registry_but_what_the_house_names() -> None:
    metrics = Metrics()
    metrics.growth.settle(ONE_OF_EACH)
    shown = {family.name for family in metrics.registry.collect()}
    gauges = set(GAUGES)
    assert shown == gauges | {name.removesuffix("_total") for name in set(registered(metrics)) - gauges}


def test_every_gauge_of_several_processes_is_joined_as_somebody_decided() -> None:
    """Summed, or the lowest; what is the same everywhere is listed here."""
    same = {"photo_api_app_info", "photo_api_batch_queue_depth", *GAUGES}
    gauges = {name for name, (kind, _) in SHAPES.items() if kind is Gauge}
    assert gauges == SUMMED | LEAST | same


def test_a_scrape_shows_each_name_to_the_letter_with_its_type() -> None:
    metrics = Metrics()
    metrics.growth.settle(ONE_OF_EACH)
    for one in registered(metrics).values():  # one series of each, so that each is shown
        if isinstance(one, Tally):
            one.inc(*"x" * len(one.labels))
        elif isinstance(one, Spread):
            one.observe(1, *"x" * len(one.labels))
        elif isinstance(one, MetricWrapperBase) and one._labelnames:
            one.labels(*"x" * len(one._labelnames))
    lines = [line.split() for line in metrics.text().decode().splitlines() if line.startswith("# TYPE")]
    assert {name: kind for _, _, name, kind in lines} == {
        name: kind.__name__.lower() for name, (kind, _) in SHAPES.items()
    }


def test_every_metric_is_on_its_page() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table(METRICS, "Metric")}
    expected = {
        name: [kind.__name__.lower(), ", ".join(f"`{label}`" for label in labels) or "–"]
        for name, (kind, labels) in SHAPES.items()
    }
    assert {name: row[:2] for name, row in rows.items()} == expected
    assert all(row[2] for row in rows.values())


def test_buckets_are_the_guides_and_the_pages() -> None:
    rows = {row[0].strip("`"): [float(bound) for bound in row[1].split(",")] for row in table(METRICS, "Histogram")}
    found = registered(Metrics())
    histograms = {name: one for name, one in found.items() if shape(name, one)[0] is Histogram}
    assert rows["http_request_duration_seconds"] == REQUEST_BUCKETS
    assert rows == {name: bounds(one) for name, one in histograms.items()}


def bounds(histogram: Any) -> list[float]:
    if isinstance(histogram, Spread):
        return [*histogram.buckets]
    *finite, last = histogram._kwargs["buckets"]
    return [*finite] if last == math.inf else [*finite, last]


def test_a_metric_that_nobody_wrote_down_is_noticed() -> None:
    metrics = Metrics()
    metrics.surprise = Gauge("photo_api_surprise", "!", registry=metrics.registry)  # type: ignore[attr-defined]
    assert set(registered(metrics)) - set(SHAPES) == {"photo_api_surprise"}


# ── errors ──

# What is answered by other ways than those two tables.
BESIDES = {("VALIDATION_FAILED", 422), ("BAD_REQUEST", 400), ("BODY_NOT_COMPLETE", 400), ("INTERNAL_ERROR", 500)}


def test_the_page_of_errors_names_every_code_once_with_its_status() -> None:
    rows = [(code.strip("`"), int(status)) for code, status, _ in table(ERRORS, "code")]
    assert len(rows) == len(set(rows))
    known = {(code, status) for status, code in STATUS.values()}
    assert set(rows) == known | {(code, status) for status, (code, _) in OF_HTTP.items()} | BESIDES
