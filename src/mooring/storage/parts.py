"""What a part is, and which parts make a file: the same answer in every store."""

from collections.abc import AsyncIterator, Sequence

from mooring.storage.port import Part

NUMBERS = range(1, 10_001)


def check_part(number: int, length: int) -> None:
    if length < 0 or number not in NUMBERS:
        raise ValueError(f"A part has a number from 1 to 10000 and a length: {number}, {length}.")


async def exactly(chunks: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """The chunks, as long as together they are `length` bytes. The last one is held back until it is known to be the
    last: who sends so many bytes and looks no further would never see that more came."""
    came, held = 0, b""
    async for chunk in chunks:
        came += len(chunk)
        if came > length:
            raise ValueError(f"{length} bytes were announced; more than that came.")
        if held:
            yield held
        held = chunk
    if came < length:
        raise ValueError(f"{length} bytes were announced; only {came} came.")
    yield held


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
