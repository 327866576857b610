"""Counting for next to nothing; series that stay bounded; and what several processes counted, as one's."""

import json
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from mooring.observe import tally
from mooring.observe.exposition import families_of, joined, text_of
from mooring.observe.frames import packed, unpacked
from mooring.observe.growth import Counted, Growth
from mooring.observe.metrics import LEAST, SUMMED, Metrics
from mooring.observe.tally import OTHER, Ranked, Spread, Tally
from mooring.observe.together import Together

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: bytes) -> Samples:
    """As Prometheus does."""
    families = text_string_to_metric_families(text.decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def ranked(most: int) -> tuple[Ranked, CollectorRegistry]:
    registry = CollectorRegistry()
    return Ranked("bytes_total_bytes", "!", ["user_id"], most=most, registry=registry), registry


def shown(registry: CollectorRegistry) -> dict[str, float]:
    [family] = families_of(registry)
    return {labels[0][1]: number for (_, labels), number in family.samples.items()}


def test_a_spread_says_what_a_histogram_of_prometheus_says() -> None:
    buckets = (0.1, 1.0, 5.0)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spread = Spread("a_seconds", "!", ["x"], buckets=buckets, registry=ours)
    histogram = Histogram("a_seconds", "!", ["x"], buckets=buckets, registry=theirs)
    for value in (0.0, 0.1, 0.1000001, 0.5, 1.0, 4.99, 5.0, 5.01, 1e9):
        spread.observe(value, "y")
        histogram.labels("y").observe(value)
    expected = read(text_of(families_of(theirs)))
    assert read(text_of(families_of(ours))) == {
        sample: number for sample, number in expected.items() if not sample[0].endswith("_created")
    }


def test_a_name_is_exposed_to_the_letter_and_labels_are_escaped() -> None:
    registry = CollectorRegistry()
    Tally("bytes_total_bytes", "!", ["who"], registry=registry).inc('a"b\\c\nd')
    text = text_of(families_of(registry))
    # Its own reader gives every counter a name in `_total`; Prometheus takes it as it is.
    assert text.decode().splitlines() == [
        "# HELP bytes_total_bytes !",
        "# TYPE bytes_total_bytes counter",
        r'bytes_total_bytes{who="a\"b\\c\nd"} 1.0',
    ]
    assert [labels for _, labels in read(text)] == [(("who", 'a"b\\c\nd'),)]


def test_the_biggest_have_a_series_of_their_own_and_the_rest_are_other() -> None:
    counter, registry = ranked(2)
    for user, size in (("1", 10), ("2", 20), ("3", 5), ("4", 7)):
        counter.inc(user, by=size)
    assert shown(registry) == {"1": 10, "2": 20, OTHER: 12}
    counter.inc("3", by=100)
    assert shown(registry) == {"2": 20, OTHER: 112}, "its bytes were counted as somebody else's: they stay there"
    counter.inc("3", by=1)
    counter.inc("1", by=1)
    assert shown(registry) == {"2": 20, "3": 1, OTHER: 113}


def test_of_equals_who_has_a_series_keeps_it() -> None:
    counter, registry = ranked(3)
    for user in range(6):
        counter.inc(str(user))
    for _ in range(2):
        assert shown(registry) == {"0": 1, "1": 1, "2": 1, OTHER: 3}


def test_no_series_ever_falls_and_all_of_them_grow_by_what_was_counted() -> None:
    counter, registry = ranked(3)
    before: dict[str, float] = {}
    for number in range(200):
        user = str(number * number % 17)
        counter.inc(user, by=number)
        after = shown(registry)
        risen = {name: after[name] - before.get(name, 0) for name in after}
        assert min(risen.values()) >= 0
        assert sum(risen.values()) in (number, 0 if number == 0 else number)
        assert len(after) <= 4
        before = after


def test_what_nobody_saw_of_who_is_outgrown_is_not_lost() -> None:
    counter, registry = ranked(1)
    counter.inc("1", by=10)
    shown(registry)
    counter.inc("1", by=5)
    counter.inc("2", by=100)
    assert shown(registry) == {OTHER: 105}


def test_an_attack_from_everywhere_costs_no_memory_without_end() -> None:
    counter, registry = ranked(5)
    counter.inc("big", by=1000)
    for number in range(3 * tally.MOST_KNOWN):
        counter.inc(str(number))
    assert len(counter._before) <= tally.MOST_KNOWN
    assert len(counter.values) <= 6
    assert shown(registry)["big"] == 1000


def test_what_several_processes_counted_is_joined_as_if_it_were_ones() -> None:
    houses = [Metrics(), Metrics()]
    for number, metrics in enumerate(houses):
        metrics.answered("GET", "/x", 200, 0.02)
        metrics.db_errors.inc(3)
        metrics.ready.set(1 - number)
        metrics.signed_in = 2
        metrics.introduce(version="1", environment="test")
        metrics.growth.settle(Counted(5 + number, 5, 1, 0, 0, 0, 0, 0, 0))
    samples = read(text_of(joined([one.families() for one in houses], summed=SUMMED, least=LEAST)))
    labels = (("handler", "/x"), ("method", "GET"), ("status", "200"))
    assert samples["http_requests_total", labels] == 2
    assert samples["http_request_duration_seconds_bucket", (labels[0], ("le", "0.025"), *labels[1:])] == 2
    assert samples["http_request_duration_seconds_bucket", (labels[0], ("le", "0.01"), *labels[1:])] == 0
    assert samples["photo_api_db_errors_total", ()] == 6
    assert samples["photo_api_ready", ()] == 0
    assert samples["photo_api_active_sessions", ()] == 4
    assert samples["photo_api_users_total", (("status", "total"),)] == 6
    assert [number for (name, _), number in samples.items() if name == "photo_api_app_info"] == [1]


class Several:
    """Processes that count, and what a look at any of them shows."""

    def __init__(self, processes: int, most: int) -> None:
        self.most = most
        self.together = Together(most)
        self.houses = [self.new() for _ in range(processes)]

    def new(self) -> Metrics:
        metrics = Metrics(self.most)
        metrics.rank_elsewhere()
        return metrics

    def tell(self, metrics: Metrics) -> list[Any]:
        """As it goes over a socket."""
        families, handed = json.loads(json.dumps([packed(metrics.families()), metrics.hand_on()]))
        self.together.rank(handed)
        return cast(list[Any], families)

    def dies(self, number: int) -> None:
        """It had told what it counted; another takes its place."""
        self.together.keep(self.tell(self.houses[number]))
        self.houses[number] = self.new()

    def look(self, metric: str) -> dict[str, float]:
        told = [self.tell(one) for one in self.houses]
        together = [unpacked(one) for one in json.loads(json.dumps([*told, *self.together.besides()]))]
        families = joined(together, summed=SUMMED, least=LEAST)
        samples = [sample for one in families for sample in one.samples.items()]
        return {labels[-1][1]: number for (name, labels), number in samples if name == metric}


BYTES = "photo_api_photo_upload_size_total_bytes"


def test_of_several_processes_the_biggest_are_those_of_all_together() -> None:
    several = Several(2, most=2)
    first, second = several.houses
    for metrics, user, size in ((first, 1, 50), (first, 2, 60), (first, 3, 40), (second, 3, 40), (second, 4, 10)):
        metrics.stored("photo", user, size)
    assert several.look(BYTES) == {"2": 60, OTHER: 140}
    second.stored("photo", 3, 1)
    first.stored("photo", 3, 1)
    assert several.look(BYTES) == {"2": 60, "3": 2, OTHER: 140}, "3 had 40 and 40: together more than 1"


def test_one_who_outgrows_another_in_one_process_makes_no_sum_fall() -> None:
    """Each by itself would drop whom the other still shows."""
    several = Several(2, most=1)
    first, second = several.houses
    first.stored("photo", 1, 100)
    second.stored("photo", 1, 1000)
    assert several.look(BYTES) == {"1": 1100}
    first.stored("photo", 2, 500)
    several.look(BYTES)
    first.stored("photo", 2, 500)
    assert several.look(BYTES) == {"1": 1100, OTHER: 1000}


@pytest.mark.parametrize("most", [1, 3, 10])
def test_whoever_comes_grows_and_dies_no_sum_falls_nor_does_a_name_too_many_show(most: int) -> None:
    several = Several(3, most)
    before: dict[str, float] = {}
    total = 0
    for number in range(300):
        user, process = number * number % 23, number % 3
        several.houses[process].stored("photo", user, number)
        several.houses[process].rate_limited("read", f"198.51.{user}.0/24")
        total += number
        if number % 50 == 49:
            several.dies(process)
        if number % 4:
            continue
        after = several.look(BYTES)
        risen = {name: after[name] - before.get(name, 0.0) for name in after if name in before}
        assert min(risen.values(), default=0) >= 0
        assert len(after.keys() - {OTHER}) <= most
        assert len(several.look("photo_api_rate_limit_hits_total").keys() - {OTHER}) <= most
        grown = sum(after.values()) - sum(number for name, number in before.items() if name in after)
        assert grown == total, "nothing is lost, and nothing counts twice"
        total = 0
        before = after


def test_growth_shows_nothing_until_somebody_counted() -> None:
    growth = Growth()
    growth.registered()
    assert list(growth.collect()) == []


def test_storage_by_user_is_bounded_and_adds_up_whatever_comes_and_goes() -> None:
    growth = Growth(most=2)
    growth.settle(Counted(3, 3, 0, 0, 3, 0, 0, 100, 0, {"1": 60, "2": 30}))
    growth.stored("photo", "3", 5)
    growth.stored("video", "1", 7)
    growth.deleted("photo", 2, 30)
    [by_user] = [one for one in growth.collect() if one.name.endswith("by_user_bytes")]
    assert {one.labels["user_id"]: one.value for one in by_user.samples} == {"1": 67, OTHER: 15}
    [photos] = [one for one in growth.collect() if one.name == "photo_api_photos_total"]
    assert [one.value for one in photos.samples] == [3]
