"""Where a rule as the guide writes it is silent or cries wolf, the shipped one is right: both, on the same metrics."""

from pathlib import Path
from typing import Any

from monitoring.made import IS_UP, MACHINE, OUTCOME, REQUEST, STEP, A
from monitoring.promtool import Situation, only, proven

ERRORS = """sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) * 100 > 5"""
IMAGES = """histogram_quantile(0.95,
  sum(rate(photo_api_image_access_duration_seconds_bucket{result="success"}[5m])) by (le)) > 5"""
CPU = """100 - (avg(rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100) > 95"""
READY = f"photo_api_ready{{{A}}}"
UP = f"up{{{A}}}"


def both(
    alert: str,
    guides: str,
    tmp_path: Path,
    series: list[tuple[str, str]],
    *,
    is_wrong_by_firing: bool,
    at: float = 10,
    step: int = STEP,
) -> None:
    """The guide's rule is wrong about these metrics, ours is right."""
    guide = Situation("as written", series, step=step)
    ours = Situation("as shipped", series, step=step)
    _ = guide.fires(alert, at) if is_wrong_by_firing else guide.silent(alert, at)
    _ = ours.silent(alert, at) if is_wrong_by_firing else ours.fires(alert, at)
    written: dict[str, Any] = {"groups": [{"name": "guide", "rules": [{"alert": alert, "expr": guides, "for": "2m"}]}]}
    proven(tmp_path, [(written, [guide]), (only([alert]), [ours])])


def test_one_failure_in_a_quiet_night_is_no_outage(tmp_path: Path) -> None:
    night = [(REQUEST.format("/albums", 500), "0x13 1x20"), (REQUEST.format("/albums", 200), "5x25")]
    both("HighErrorRate", ERRORS, tmp_path, night, is_wrong_by_firing=True)


def test_the_health_check_of_an_instance_that_drains_is_no_error(tmp_path: Path) -> None:
    draining = [(REQUEST.format("/health", 503), "0+30x25"), (REQUEST.format("/albums", 200), "0+30x25")]
    both("HighErrorRate", ERRORS, tmp_path, draining, is_wrong_by_firing=True)


def test_health_checks_do_not_hide_errors(tmp_path: Path) -> None:
    hidden = [
        (REQUEST.format("/health", 200), "0+900x25"),
        (REQUEST.format("/albums", 200), "0+50x25"),
        (REQUEST.format("/albums", 500), "0+20x25"),
    ]
    both("HighErrorRate", ERRORS, tmp_path, hidden, is_wrong_by_firing=False)


BLOCKED = [(REQUEST.format("/auth/login", 429), "0+600x25"), (REQUEST.format("none", 429), "0+300x25")]


def test_a_flood_that_the_limits_refuse_does_not_hide_errors(tmp_path: Path) -> None:
    flooded = [
        *BLOCKED,
        (REQUEST.format("/albums", 200), "0+80x25"),
        (REQUEST.format("/albums", 500), "0+20x25"),
    ]
    both("HighErrorRate", ERRORS, tmp_path, flooded, is_wrong_by_firing=False)


def test_nor_does_it_make_the_slow_quick(tmp_path: Path) -> None:
    name = 'http_request_duration_seconds_{}{{handler="{}",status="{}",method="GET"{}}}'
    traffic = []
    for handler, status, quick, each in (("/albums", 200, 10, 20), ("none", 429, 900, 900)):
        counts = {"0.5": quick, "5.0": each, "+Inf": each}
        traffic += [(name.format("bucket", handler, status, f',le="{le}"'), f"0+{n}x30") for le, n in counts.items()]
        traffic.append((name.format("count", handler, status, ""), f"0+{each}x30"))
    as_written = "histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket[5m])) by (le)) > 3"
    both("SlowResponseTime", as_written, tmp_path, traffic, is_wrong_by_firing=False)


def test_nor_does_it_spare_the_error_budget(tmp_path: Path) -> None:
    flooded = [
        (REQUEST.format("none", 429), "0+9000x140"),
        (REQUEST.format("/albums", 200), "0+970x140"),
        (REQUEST.format("/albums", 500), "0+30x140"),
    ]
    told = Situation("flooded", flooded).fires("ErrorBudgetBurnsInTwoDays", 65)
    proven(tmp_path, [(only(["ErrorBudgetBurnsInTwoDays"]), [told])])


def test_an_instance_that_is_gone_is_down(tmp_path: Path) -> None:
    gone = [(READY, "1x5 stale"), (UP, "1x5 0x30")]
    both("ServiceDown", "photo_api_ready == 0", tmp_path, gone, is_wrong_by_firing=False)


def test_images_slower_than_the_last_bound_are_slow(tmp_path: Path) -> None:
    """Of what is beyond 5 s a histogram with that last bound says: 5 s. More than 5 it never says."""
    name = 'photo_api_image_access_duration_seconds_{}{{access_type="shared",result="success"{}}}'
    slow = [
        (name.format("bucket", ',le="2.5"'), "0x30"),
        (name.format("bucket", ',le="5.0"'), "0x30"),
        (name.format("bucket", ',le="+Inf"'), "0+100x30"),
        (name.format("count", ""), "0+100x30"),
    ]
    both("SlowImageAccess", IMAGES, tmp_path, slow, is_wrong_by_firing=False)


def test_an_attack_from_everywhere_is_an_attack(tmp_path: Path) -> None:
    crowd = [
        (f'photo_api_rate_limit_hits_total{{endpoint="read",client_id="192.0.{number}.0/24"}}', "0+20x30")
        for number in range(40)
    ]
    as_written = "rate(photo_api_rate_limit_hits_total[5m]) * 60 > 500"
    both("PossibleDDoSAttack", as_written, tmp_path, crowd, is_wrong_by_firing=False)


def test_a_machine_that_burns_is_not_hidden_by_idle_ones(tmp_path: Path) -> None:
    name = 'node_cpu_seconds_total{{instance="{}:9100",job="node",cpu="0",mode="idle"}}'
    machines = [(name.format(number), "0+29.4x30") for number in range(9)] + [(name.format("hot"), "0+0.3x30")]
    both("HighCPUUsage", CPU, tmp_path, machines, is_wrong_by_firing=False)


def test_an_image_that_a_browser_or_a_cdn_has_is_no_failure(tmp_path: Path) -> None:
    seen = [(REQUEST.format("/photos/{photo_id}/image", status), "0+20x30") for status in (302, 304)]
    as_written = """100 - sum(rate(http_requests_total{handler=~"/photos/.*image",status=~"2.."}[5m]) or vector(0))
        / sum(rate(http_requests_total{handler=~"/photos/.*image"}[5m])) * 100 > 15"""
    both("ImageFailuresCritical", as_written, tmp_path, seen, is_wrong_by_firing=True)


def test_a_slow_line_is_not_a_slow_server(tmp_path: Path) -> None:
    """Most of the traffic: files that come through us, over a minute each."""
    name = 'http_request_duration_seconds_{}{{handler="{}",status="200",method="PUT"{}}}'
    traffic = []
    for handler, quick in (("/storage/{key:path}", 0), ("/albums", 50)):
        counts = {"0.5": quick, "10.0": quick, "+Inf": 50}
        traffic += [(name.format("bucket", handler, f',le="{le}"'), f"0+{n}x30") for le, n in counts.items()]
        traffic.append((name.format("count", handler, ""), "0+50x30"))
    as_written = "histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket[5m])) by (le)) > 3"
    both("SlowResponseTime", as_written, tmp_path, traffic, is_wrong_by_firing=True)


def test_a_disk_that_is_not_the_first_is_full_too(tmp_path: Path) -> None:
    disks = []
    for mountpoint, device, free in (("/", "/dev/vda", 50), ("/data", "/dev/vdb", 5)):
        labels = f'{MACHINE},fstype="ext4",mountpoint="{mountpoint}",device="{device}"'
        disks += [
            (f"node_filesystem_avail_bytes{{{labels}}}", f"{free}e9x30"),
            (f"node_filesystem_size_bytes{{{labels}}}", "100e9x30"),
        ]
    as_written = (
        """(node_filesystem_avail_bytes{mountpoint="/"} / node_filesystem_size_bytes{mountpoint="/"}) * 100 < 10"""
    )
    both("LowDiskSpace", as_written, tmp_path, disks, is_wrong_by_firing=False)


def test_what_storage_tells_of_needs_no_confirm(tmp_path: Path) -> None:
    told = [
        (f'photo_api_presigned_url_generation_total{{{A},result="success"}}', "0+20x30"),
        (f'photo_api_photo_upload_confirm_total{{{A},result="success"}}', "0x30"),
        (OUTCOME.format("arrived"), "0+20x30"),
        (OUTCOME.format("incomplete"), "0x30"),
    ]
    as_written = """sum(rate(photo_api_photo_upload_confirm_total{result="success"}[5m]))
        / sum(rate(photo_api_presigned_url_generation_total{result="success"}[5m])) * 100 < 60"""
    both("UploadCompletionCritical", as_written, tmp_path, told, is_wrong_by_firing=True)


def test_a_deletion_is_no_growth(tmp_path: Path) -> None:
    """Prometheus takes a gauge that falls for a counter that began anew."""
    used = [(f"photo_api_object_storage_usage_bytes{{{A}}}", "100e9x70 70e9x30")]
    as_written = """rate(photo_api_object_storage_usage_bytes[1h]) * 3600
        / photo_api_object_storage_usage_bytes * 100 > 50"""
    both("StorageGrowthCritical", as_written, tmp_path, used, is_wrong_by_firing=True, at=80, step=60)


def test_who_deletes_what_they_upload_uploads_all_the_same(tmp_path: Path) -> None:
    moved = [
        (f'photo_api_object_storage_usage_by_user_bytes{{{A},user_id="7"}}', "5e9x110"),
        (f'photo_api_photo_upload_size_total_bytes{{{A},user_id="7"}}', "20e9x70 40e9x40"),
        (IS_UP.name, "1x110"),
    ]
    as_written = """photo_api_object_storage_usage_by_user_bytes
        - photo_api_object_storage_usage_by_user_bytes offset 1h > 10e9"""
    both("UserUploadsCritical", as_written, tmp_path, moved, is_wrong_by_firing=False, at=80, step=60)


def test_a_machine_that_has_just_begun_has_no_usual(tmp_path: Path) -> None:
    """An hour after its start, some kilobytes a second are many times what it had."""
    begun = [(f'node_network_receive_bytes_total{{{MACHINE},device="eth0"}}', "0+6e3x60 360e3+6e6x40")]
    rates = "rate(node_network_receive_bytes_total[5m])"
    as_written = f"{rates} > 2 * avg_over_time({rates}[1d:5m])"
    both("NetworkInWarning", as_written, tmp_path, begun, is_wrong_by_firing=True, at=75, step=60)


def test_service_down_waits_names_the_instance_and_notices_when_nobody_is_left(tmp_path: Path) -> None:
    a, b = (f'instance="{one}:8000",job="mooring"' for one in "ab")
    healthy = [(f"up{{{b}}}", "1x40"), (f"photo_api_ready{{{b}}}", "1x40")]
    draining = [(READY, "1x9 0x30"), (UP, "1x40"), *healthy]
    asked = [
        Situation("draining", draining)
        .silent("ServiceDown", 5.5).silent("ServiceNotReady", 5)
        .fires("ServiceNotReady", 6, a).fires("ServiceDown", 7, a),
        Situation("killed", [(READY, "1x9 stale"), (UP, "1x9 0x30"), *healthy])
        .silent("ServiceDown", 5.5).fires("ServiceDown", 7, a).fires("ServiceDown", 15, a),
        Situation("well", healthy).silent("ServiceDown", 20).silent("ServiceNotReady", 20),
        Situation("one of two is taken away", [(READY, "1x9 stale"), (UP, "1x9 stale"), *healthy])
        .silent("ServiceDown", 15),
        Situation("all are taken away", [(READY, "1x9 stale"), (UP, "1x9 stale")])
        .silent("ServiceDown", 5.5).fires("ServiceDown", 7),
    ]  # fmt: skip
    proven(tmp_path, [(only(["ServiceDown", "ServiceNotReady"]), asked)])
