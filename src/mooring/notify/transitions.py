"""What became of somebody's uploads after a moment: the one query behind every live stream.

Ids are given out before their transactions commit, so a lower one may be seen later than a higher one, and "all after
the last id" would lose it. A place in the story therefore also holds a horizon: the oldest transaction that had not
ended when it was read. What was not seen then is of that transaction or a later one. So a reader asks for what has a
higher id, or is of a transaction not older than the horizon; what it gets twice it knows by its id."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from mooring.db.pool import Executor
from mooring.errors import NotAcceptable
from mooring.uploads.lifecycle import State

PAGE = 500
LATELY = 1000  # of the user's events below the last id, so many may still have been under way when it was read
_PLACE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")

# What an upload was right after; of other events it is what it is now.
_STATE_AFTER: Mapping[str, State] = {
    "renewed": State.PENDING,
    "lapsed": State.PENDING,
    "arrived": State.UPLOADED,
    "retried": State.UPLOADED,
    "begun": State.PROCESSING,
    "completed": State.COMPLETED,
    "failed": State.FAILED,
    "rejected": State.REJECTED,
    "reclaimed": State.RECLAIMED,
}


class Place(NamedTuple):
    """Up to where a story was read. Without a horizon only the id says it: good enough for what is old."""

    event_id: int
    horizon: str | None = None

    def __str__(self) -> str:
        return f"{self.event_id}-{self.horizon}" if self.horizon else str(self.event_id)

    @classmethod
    def read(cls, text: str) -> "Place":
        found = _PLACE.fullmatch(text)
        if found is None:
            raise NotAcceptable("The last event's id is not one of ours: send it as it came, or leave it out.")
        return cls(int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class Transition:
    id: int
    upload_id: int
    what: str
    state: str | None  # None: the upload is deleted
    trigger: str
    at: datetime
    kind: str | None
    filename: str | None
    error_message: str | None


class Told(NamedTuple):
    place: Place
    transition: Transition


@dataclass(slots=True)
class Reader:
    """One reader of one user's story."""

    user_id: int
    place: Place
    seen: set[int] = field(default_factory=set)  # of these some may come again

    @classmethod
    async def at_the_end(cls, tx: Executor, user_id: int) -> "Reader":
        """Of what was there before nothing is told."""
        rows = await tx.fetch(_END, user_id)
        reader = cls(user_id, Place(*rows[0]))
        known = await reader._page(tx, reader.place)
        reader.seen = {row[0] for row in known if row[0] <= reader.place.event_id}
        return reader

    async def news(self, tx: Executor) -> AsyncIterator[list[Told]]:
        """What was not told yet, page by page, each with the place of a reader who knows it. Read to the end, the
        reader itself is there."""
        began, horizon, ids, is_last = self.place, None, [], False
        after = began
        while not is_last:
            page = await self._page(tx, after)
            is_last = sum(row[0] > after.event_id for row in page) < PAGE
            horizon = horizon or (page[0][-1] if page else None)
            ids += [row[0] for row in page]
            after = Place(max([began.event_id, *ids[-1:]]))  # what was under way before is all on the first page
            new = [row for row in page if row[0] not in self.seen]
            told = [Told(Place(row[0], horizon) if row[0] > began.event_id else began, _transition(row)) for row in new]
            if is_last and horizon:
                self.place = Place(after.event_id, horizon)
                self.seen = set(sorted(ids)[-LATELY:])
                told[-1:] = [last._replace(place=self.place) for last in told[-1:]]
            if told:
                yield told

    async def _page(self, tx: Executor, place: Place) -> list[Any]:
        return await tx.fetch(_AFTER, self.user_id, place.event_id, place.horizon, PAGE, LATELY)


_END = """SELECT coalesce(max(id), 0), pg_snapshot_xmin(pg_current_snapshot())::text
          FROM upload_events WHERE user_id = $1"""
# `xmin` is the transaction that wrote the row: kept by PostgreSQL itself, for nothing, and meaningless only to a
# restored dump, where all of it is old. `age` counts transactions back from now, and does not mind their wrapping.
_AFTER = """
WITH told AS (
    (SELECT e.* FROM upload_events e WHERE e.user_id = $1 AND e.id > $2 ORDER BY e.id LIMIT $4)
    UNION ALL
    (SELECT e.* FROM upload_events e
     WHERE e.id IN (
        SELECT lately.id FROM (
            SELECT l.id, l.xmin AS by FROM upload_events l
            WHERE l.user_id = $1 AND l.id <= $2 AND $3::text IS NOT NULL ORDER BY l.id DESC LIMIT $5
        ) lately WHERE age(lately.by) <= age($3::text::xid8::xid)))
)
SELECT t.id, t.upload_id, t.what, t.trigger, t.at, u.kind, u.original_filename, u.processing_status,
       u.processing_error_message, pg_snapshot_xmin(pg_current_snapshot())::text
FROM told t LEFT JOIN uploads u ON u.id = t.upload_id ORDER BY t.id"""


def _transition(row: Any) -> Transition:
    id_, upload_id, what, trigger, at, kind, filename, state, error, _ = row
    state = (_STATE_AFTER.get(what) or state) if kind else None
    return Transition(
        id=id_,
        upload_id=upload_id,
        what=what,
        state=state,
        trigger=trigger,
        at=at,
        kind=kind,
        filename=filename,
        error_message=error if state in (State.FAILED, State.REJECTED) else None,
    )
