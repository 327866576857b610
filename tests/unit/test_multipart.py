import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.uploads.in_parts import is_possible
from mooring.uploads.multipart import LARGEST_PART, MIB, MOST_PARTS, SMALLEST_PART, Cut, PartTerms

LARGEST_FILE = MOST_PARTS * LARGEST_PART


@given(file_size=st.integers(1, 10**9), part_size=st.integers(10**5, 10**9))
def test_the_parts_are_the_file(file_size: int, part_size: int) -> None:
    cut = Cut(file_size, part_size)
    lengths = [cut.length(number) for number in cut.numbers]
    assert sum(lengths) == file_size
    assert all(length == part_size for length in lengths[:-1])
    assert 0 < lengths[-1] <= part_size
    assert (len(lengths), cut.numbers[0], cut.numbers[-1]) == (cut.count, 1, cut.count)
    for number in (0, -1, cut.count + 1):
        with pytest.raises(ValueError, match="parts 1 to"):
            cut.length(number)


@given(file_size=st.integers(1, LARGEST_FILE), most=st.sampled_from([1_000, MOST_PARTS]))
def test_every_file_that_storage_can_take_has_a_cut_that_it_can_take(file_size: int, most: int) -> None:
    terms = PartTerms(above=0, least=8 * MIB, most=most)
    size = terms.size_for(file_size)
    assert Cut(file_size, size).count <= most
    assert size >= SMALLEST_PART
    assert size == terms.least or size % MIB == 0
    if file_size <= most * LARGEST_PART:
        assert size <= LARGEST_PART


def test_parts_grow_only_where_there_would_be_too_many() -> None:
    terms = PartTerms(least=8 * MIB, most=1_000)
    assert terms.size_for(8 * MIB * 1_000) == 8 * MIB
    assert terms.size_for(8 * MIB * 1_000 + 1) == 9 * MIB
    assert terms.size_for(100 * 2**30) == 103 * MIB


@pytest.mark.parametrize(
    ("file_size", "part_size", "possible"),
    [
        (10_000 * MIB, MIB, True),
        (10_000 * MIB + 1, MIB, False),
        (MIB, 0, False),
        (MIB, -1, False),
        (LARGEST_PART, LARGEST_PART, True),
        (LARGEST_PART + 1, LARGEST_PART + 1, False),
    ],
)
def test_what_a_client_may_choose(file_size: int, part_size: int, possible: bool) -> None:
    assert is_possible(file_size, part_size) is possible


def test_what_is_missing() -> None:
    assert Cut(50, 10).missing([2, 5, 9]) == [1, 3, 4]
    assert Cut(50, 10).missing(range(1, 6)) == []
