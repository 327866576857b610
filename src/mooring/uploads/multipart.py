"""Into which parts a file is cut: pure arithmetic. The limits are those of S3."""

from collections.abc import Iterable
from dataclasses import dataclass

MIB = 2**20
SMALLEST_PART, LARGEST_PART = 5 * MIB, 5 * 2**30  # the last one may be smaller
MOST_PARTS = 10_000
UNTOLD = LARGEST_PART + 1  # no part has this size: nobody said how large the file is (`open_size.py`)


@dataclass(frozen=True, slots=True)
class Cut:
    """A file in parts of one size, but for the last."""

    file_size: int
    part_size: int

    @property
    def count(self) -> int:
        return -(-self.file_size // self.part_size)

    @property
    def numbers(self) -> range:
        return range(1, self.count + 1)

    def length(self, number: int) -> int:
        if number not in self.numbers:
            raise ValueError(f"There are parts 1 to {self.count}, and no {number}.")
        return min(self.part_size, self.file_size - (number - 1) * self.part_size)

    def missing(self, there: Iterable[int]) -> list[int]:
        have = set(there)
        return [number for number in self.numbers if number not in have]


@dataclass(frozen=True, slots=True)
class PartTerms:
    """What is sent in parts, and in how large ones."""

    above: int = 64 * MIB  # what is larger comes in parts
    least: int = 8 * MIB  # the usual size of a part
    most: int = 1_000  # parts; with more the storage might not take them (Swift as it is installed)

    def size_for(self, file_size: int) -> int:
        """The usual size, or as many whole MiB as the largest number of parts asks for."""
        needed = -(-file_size // self.most)
        return self.least if needed <= self.least else -(-needed // MIB) * MIB


USUAL_PARTS = PartTerms()
