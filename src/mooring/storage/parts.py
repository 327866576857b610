"""Which parts make a file: the same answer in every store."""

from collections.abc import Sequence

from mooring.storage.port import Part


def parts_to_join(wanted: Sequence[Part], there: Sequence[Part]) -> list[Part]:
    """In order. `ValueError` where one is not there as given."""
    have = {part.number: part for part in there}
    chosen = sorted(wanted, key=lambda part: part.number)
    if not chosen or len({part.number for part in chosen}) < len(chosen):
        raise ValueError("A multipart upload is completed with at least one part, and each of them once.")
    for part in chosen:
        if have.get(part.number) != part:
            raise ValueError(f"Part {part.number} is not there as given: {have.get(part.number)}, not {part}.")
    return chosen
