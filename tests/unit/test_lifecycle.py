from itertools import product

import pytest

from mooring.uploads.lifecycle import GIVEN_UP, MOVES, STORED, State, sources

# The picture of the specification, arrow by arrow. A retry puts the work back in the queue, so it leads to UPLOADED,
# from where a worker begins again. REJECTED is where every object ends that no longer is the one that was verified.
ARROWS = {
    ("PENDING", "UPLOADED"),  # any of the four triggers
    ("PENDING", "REJECTED"),  # what came is not what was declared
    ("PENDING", "RECLAIMED"),  # nothing came
    ("UPLOADED", "PROCESSING"),
    ("UPLOADED", "REJECTED"),
    ("PROCESSING", "COMPLETED"),
    ("PROCESSING", "FAILED"),
    ("PROCESSING", "REJECTED"),
    ("COMPLETED", "REJECTED"),
    ("FAILED", "UPLOADED"),
}


def test_the_moves_are_those_of_the_picture() -> None:
    assert {(start, end) for start, ends in MOVES.items() for end in ends} == ARROWS


def test_every_state_has_a_say_in_where_it_leads() -> None:
    assert set(MOVES) == set(State)


@pytest.mark.parametrize("to", State)
def test_sources_are_the_moves_read_backwards(to: State) -> None:
    assert {(start, to) for start in sources(to)} == {(start, end) for start, end in ARROWS if end == to}
    assert len(sources(to)) == len(set(sources(to)))


def test_no_state_leads_to_itself() -> None:
    """So of two who ask for the same move only one is answered."""
    assert [state for state, ends in MOVES.items() if state in ends] == []


def test_every_state_can_be_reached_and_nothing_becomes_pending_again() -> None:
    assert sources(State.PENDING) == []
    assert reached_from(State.PENDING) == set(State)


def reached_from(start: State) -> set[State]:
    seen, ahead = {start}, [start]
    while ahead:
        more = MOVES[ahead.pop()] - seen
        seen |= more
        ahead += more
    return seen


def test_what_is_given_up_stays_given_up() -> None:
    for state in GIVEN_UP:
        assert MOVES[state] == frozenset()


def test_every_upload_can_still_end() -> None:
    ends = GIVEN_UP | {State.COMPLETED}
    assert [state for state in State if not reached_from(state) & ends] == []


def test_an_object_is_awaited_or_kept_or_given_up() -> None:
    assert STORED | GIVEN_UP | {State.PENDING} == set(State)
    assert frozenset() == STORED & GIVEN_UP


def test_bytes_count_from_the_arrival_on_and_until_they_are_given_up() -> None:
    """Between stored states nothing is settled twice: only the way in and the way out change what is used."""
    into = {(start, end) for start, end in product(State, State) if end in MOVES[start] and end in STORED - {start}}
    assert {end for start, end in into if start not in STORED} == {State.UPLOADED}
