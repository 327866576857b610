"""What must hold after every step, and what once all is quiet: read straight from the tables and the disk."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from mooring.storage.port import Listed
from mooring.uploads.lifecycle import GIVEN_UP, MOVES, SLOW_PUT, STORED, State
from mooring.uploads.queries import Event
from mooring.uploads.reconcile import TRASH
from mooring.uploads.sweep import Swept
from mooring.uploads.tracking import aggregate_incomplete_after_ttl, count_incomplete

from .process import Process
from .scene import Known, Scene

MOVED_TO = {
    "arrived": State.UPLOADED,
    "rejected": State.REJECTED,
    "reclaimed": State.RECLAIMED,
    "begun": State.PROCESSING,
    "completed": State.COMPLETED,
    "failed": State.FAILED,
    "retried": State.UPLOADED,
}


@dataclass(frozen=True)
class Row:
    id: int
    state: State
    user: int
    album: int
    key: str
    size: int
    reserved: int
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None
    etag: str | None


@dataclass(frozen=True)
class Facts:
    rows: Mapping[int, Row]
    stories: Mapping[int, Sequence[Event]]
    quotas: Mapping[int, tuple[int, ...]]
    removals: frozenset[str]
    trash: frozenset[str]  # on record
    renditions: Mapping[str, tuple[int, int, str]]  # by key: of which upload, how large, with which etag
    objects: Mapping[str, Listed]


async def hold(scene: Scene) -> None:
    facts = await look(scene)
    for it in scene.known:
        if it.id in facts.rows:
            it.lapses_at = max(it.lapses_at, facts.rows[it.id].expires_at)
    each_story_is_legal_and_ends_where_the_row_is(facts)
    nothing_is_given_up_too_soon(facts, scene)
    quotas_are_right_to_the_byte(facts)
    await bytes_that_are_claimed_are_there(facts, scene)
    await renditions_are_whole_and_of_what_is_completed(facts, scene)
    every_object_is_accounted_for(facts, scene)
    what_was_told_stays_true(facts, scene)
    await the_ledger_counts_right(facts, scene)


async def come_to_rest(scene: Scene) -> None:
    """Time passes, the sweep does its work, somebody reconciles: nothing may be left over."""
    world = Process().of(scene.world)
    await scene.end_slow_puts(world)
    await hold(scene)
    for _ in range(3):
        scene.clock.forward(days=1)
        await sweep_until_still(scene)
    await scene.reconcile(world)
    scene.clock.forward(hours=2)
    await sweep_until_still(scene)
    await hold(scene)
    found = await world.reconciliation.run(dry_run=True)
    assert found.is_clean, f"a second reconcile finds something: {found}"
    facts = await look(scene)
    assert not [row for row in facts.rows.values() if row.state is State.PENDING], "something waits for ever"
    assert not facts.removals, "something is to be removed for ever"
    _each_promise_was_kept(facts, scene)
    scene.clock.forward(days=31)
    await sweep_until_still(scene)
    await hold(scene)
    facts = await look(scene)
    claimed = {row.key for row in facts.rows.values() if row.state in STORED}
    assert set(facts.objects) == claimed | set(facts.renditions), "objects and rows do not match at rest"
    assert not [each async for each in scene.world.disk.open_multiparts()], "parts lie about for ever"


def _each_promise_was_kept(facts: Facts, scene: Scene) -> None:
    for it in scene.known:
        if it.promised and not it.meddled and not it.delete_asked:
            assert facts.rows[it.id].state in STORED, f"bytes came for {it} in time and did not count"


async def sweep_until_still(scene: Scene) -> None:
    for _ in range(20):
        if await Process().of(scene.world).sweep.once() == Swept():
            return
    raise AssertionError("the sweep never comes to an end")


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def each_story_is_legal_and_ends_where_the_row_is(facts: Facts) -> None:
    assert set(facts.rows) <= set(facts.stories), "an upload without a story"
    for upload_id, story in facts.stories.items():
        told = [event.what for event in story]
        assert told[0] == "issued", told
        assert told.count("issued") == 1, told
        assert told.count("arrived") <= 1, told
        assert told.count("completed") <= 1, told
        assert all(a.at <= b.at for a, b in pairwise(story)), "a story goes back in time"
        state, reserved = _replayed(told)
        row = facts.rows.get(upload_id)
        assert (row.state if row else None) == state, (row, told)
        if row:
            assert (row.reserved > 0) == reserved, (row, told)
            assert (row.completed_at is not None) == ("arrived" in told), (row, told)


def _replayed(told: Sequence[str]) -> tuple[State | None, bool]:
    """The state and whether quota is reserved, by the story alone. None: deleted."""
    state: State | None = State.PENDING
    reserved = True
    for what in told[1:]:
        assert state is not None, f"a story that goes on after its end: {told}"
        if what in ("lapsed", "renewed"):
            assert state is State.PENDING, told
            assert reserved or what == "renewed", f"released twice: {told}"
            reserved = what == "renewed"
            continue
        if what != "deleted":
            assert MOVED_TO[what] in MOVES[state], f"an illegal move: {told}"
        state, reserved = MOVED_TO.get(what), False
    return state, reserved


def nothing_is_given_up_too_soon(facts: Facts, scene: Scene) -> None:
    """While a URL may still bring bytes, an upload waits for them."""
    known = {it.id: it for it in scene.known}
    terms = scene.world.uploads.terms
    for upload_id, story in facts.stories.items():
        url_from = story[0].at
        for event in story:
            if event.what == "renewed":
                url_from = event.at
            if event.what == "lapsed":
                assert event.at > url_from + terms.upload_url_life, "lapsed while its URL was good"
            if event.what == "reclaimed":
                assert event.at >= story[0].at + terms.reclaim_after
            if event.what == "reclaimed" and upload_id in known:
                assert event.at >= known[upload_id].lapses_at + SLOW_PUT, "reclaimed while its URL was of use"
            if event.what == "rejected":
                assert upload_id not in known or known[upload_id].ever_meddled, "right bytes were rejected"


def quotas_are_right_to_the_byte(facts: Facts) -> None:
    should: dict[int, Counter[str]] = defaultdict(Counter)
    for row in facts.rows.values():
        should[row.user]["reserved"] += row.reserved
        should[row.user]["used"] += row.size if row.state in STORED else 0
        should[row.user]["in_flight"] += row.reserved > 0
        should[row.user]["photos"] += row.state in STORED
    for user, quota in facts.quotas.items():
        expected = tuple(should[user][what] for what in ("reserved", "used", "in_flight", "photos"))
        assert quota == expected, f"quota of {user} is {quota}, its uploads say {expected}"


async def bytes_that_are_claimed_are_there(facts: Facts, scene: Scene) -> None:
    meddled = {it.id for it in scene.known if it.meddled}
    for row in facts.rows.values():
        if row.state in STORED and row.id not in meddled:
            found = await scene.world.disk.stat(row.key)
            assert found is not None, f"{row} claims bytes that are not there"
            assert (found.size, found.etag) == (row.size, row.etag), f"{row} claims other bytes than are there"


async def renditions_are_whole_and_of_what_is_completed(facts: Facts, scene: Scene) -> None:
    for key, (upload_id, size, etag) in facts.renditions.items():
        assert facts.rows[upload_id].state is State.COMPLETED, f"{key} was made of {facts.rows[upload_id]}"
        found = await scene.world.disk.stat(key)
        assert found is not None, f"{key} is not there"
        assert (found.size, found.etag) == (size, etag), f"{key} is not as it was made"
    made = Counter(upload_id for upload_id, _, _ in facts.renditions.values())
    assert all(made[row.id] for row in facts.rows.values() if row.state is State.COMPLETED), "nothing was made of it"


def every_object_is_accounted_for(facts: Facts, scene: Scene) -> None:
    """By a row that waits for it or has it, by a removal on record, by the trash's record. Only bytes that no URL of
    ours brought in time may lie about until somebody reconciles."""
    awaited = {row.key for row in facts.rows.values() if row.state not in GIVEN_UP}
    known = {it.key: it for it in scene.known}
    for key, listed in facts.objects.items():
        if key in awaited | facts.removals | facts.trash or key in facts.renditions:
            continue
        if key.startswith(TRASH):  # copied, and killed before that was on record: the original is still there
            assert key.removeprefix(TRASH) in facts.objects, f"{key} is in the trash for ever"
            continue
        assert _lies_about(known[key], listed), f"nobody accounts for {key}"


def _lies_about(it: Known, listed: Listed) -> bool:
    return it.strewn or listed.modified_at >= it.lapses_at + SLOW_PUT


def what_was_told_stays_true(facts: Facts, scene: Scene) -> None:
    for it in scene.known:
        row = facts.rows.get(it.id)
        assert row or it.delete_asked, f"{it} is gone, and nobody asked for it"
        assert not (row and it.deleted), f"{it} was said to be deleted"
        if row is None:
            continue
        assert row.completed_at or not it.arrived, f"{it} was said to have arrived"
        assert row.state not in GIVEN_UP or not it.sure, f"{it} was said to have arrived, and it is {row.state}"
        if it.promised:
            assert row.state not in GIVEN_UP, f"bytes came for {it} in time, and it is {row.state}"


async def the_ledger_counts_right(facts: Facts, scene: Scene) -> None:
    now = scene.clock()
    incomplete = [row for row in facts.rows.values() if row.expires_at < now and row.completed_at is None]
    ledger = await aggregate_incomplete_after_ttl(scene.world.db, now=now)
    assert ledger.total_count == len(incomplete) == await count_incomplete(scene.world.db, now=now)
    assert ledger.by_user_id == Counter(row.user for row in incomplete)
    assert ledger.by_album_id == Counter(row.album for row in incomplete)
    assert {record.upload_id for record in ledger.sample_records} == {row.id for row in incomplete}


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def look(scene: Scene) -> Facts:
    db = scene.world.db
    rows = await db.fetch(
        """SELECT id, processing_status, uploader_id, target_id, object_key, file_size, reserved_bytes, created_at,
                  expires_at, completed_at, etag FROM uploads"""
    )
    stories: dict[int, list[Event]] = defaultdict(list)
    for upload_id, *event in await db.fetch(
        "SELECT upload_id, what, trigger, at, detail FROM upload_events ORDER BY id"
    ):
        stories[upload_id].append(Event(*event))
    quotas = await db.fetch("SELECT user_id, reserved_bytes, used_bytes, in_flight, photos FROM quotas")
    removals = await db.fetch("SELECT object_key FROM removals")
    made = await db.fetch("SELECT object_key, upload_id, size_bytes, etag FROM renditions")
    trash = await db.fetch("SELECT trash_key FROM reconciliations WHERE trash_key IS NOT NULL AND purged_at IS NULL")
    return Facts(
        rows={row[0]: Row(row[0], State(row[1]), *row[2:]) for row in map(tuple, rows)},
        stories=stories,
        quotas={user: (*amounts,) for user, *amounts in quotas},
        removals=frozenset(key for (key,) in removals),
        trash=frozenset(key for (key,) in trash),
        renditions={key: (*about,) for key, *about in made},
        objects={listed.key: listed async for listed in scene.world.disk.list()},
    )
