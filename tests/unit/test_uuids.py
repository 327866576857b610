"""UUIDs in the order of time."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from mooring.uploads.uuids import uuid_of
from servers import ours

AT = datetime(2030, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)


def test_it_is_one_of_version_7_and_says_when() -> None:
    made = [UUID(str(uuid_of(AT))) for _ in range(1000)]
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert {one.int >> 80 for one in made} == {int(AT.timestamp() * 1000)}


def test_all_else_is_chance() -> None:
    made = [uuid_of(AT).int for _ in range(1000)]
    assert len(set(made)) == 1000
    for bit in range(80):
        ones = sum(one >> bit & 1 for one in made)
        if bit in (76, 77, 78, 79, 62, 63):
            assert ones in (0, 1000)
        else:
            assert 300 < ones < 700, bit


def test_what_is_later_comes_after() -> None:
    moments = [AT + timedelta(milliseconds=number) for number in range(100)]
    names = [str(uuid_of(moment)) for moment in moments]
    assert names == sorted(names)


FORKS = """
import os
from datetime import UTC, datetime
from mooring.uploads.uuids import uuid_of

def draw():
    print(*(uuid_of(datetime.now(UTC)) for _ in range(20)), flush=True)

draw()  # there are more drawn now, that no child may have
for _ in range(3):
    if os.fork() == 0:
        draw()
        os._exit(0)
    os.wait()
draw()
"""


def test_a_child_process_draws_its_own() -> None:
    drawn = ours.run([ours.PYTHON, "-c", FORKS], timeout=30).stdout.split()
    assert len(drawn) == len({name[15:] for name in drawn}) == 100
