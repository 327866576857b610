"""Reads the few facts of EXIF that we keep, and writes the one that a picture needs to stand upright.

Where a picture was taken is never read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from mmap import mmap
from struct import Struct, error, pack

MAKE, MODEL, ORIENTATION, INNER = 0x010F, 0x0110, 0x0112, 0x8769
TAKEN_AT, TAKEN_AT_OFFSET = 0x9003, 0x9011
LONGEST = 100  # characters that a camera's name may have
Block = bytes | mmap
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_WIDTHS = {2: 1, 3: 2, 4: 4}  # of the types we read: ASCII, SHORT, LONG


@dataclass(frozen=True, slots=True)
class Exif:
    camera: str | None = None
    taken_at: datetime | None = None


def read(block: Block) -> Exif:
    """Of a block of EXIF, or of a TIFF file, which is built alike. Of what is not well formed: nothing."""
    try:
        if block[:6] == b"Exif\0\0":
            block = block[6:]
        if block[:4] not in _ORDERS:
            return Exif()
        return _read(block, _ORDERS[block[:4]])
    except (error, ValueError, OverflowError, IndexError):
        return Exif()


def _read(tiff: Block, order: str) -> Exif:
    main = dict(_entries(tiff, order, _number(tiff[4:8], order)))
    inner = dict(_entries(tiff, order, _number(main[INNER], order))) if INNER in main else {}
    return Exif(
        camera=_camera(_text(main.get(MAKE)), _text(main.get(MODEL))),
        taken_at=_moment(_text(inner.get(TAKEN_AT)), _text(inner.get(TAKEN_AT_OFFSET))),
    )


def _entries(tiff: Block, order: str, at: int) -> Iterator[tuple[int, bytes]]:
    entry = Struct(order + "HHI4s")
    for number in range(_number(tiff[at : at + 2], order)):
        tag, kind, count, value = entry.unpack_from(tiff, at + 2 + 12 * number)
        length = _WIDTHS.get(kind, 0) * min(count, 1024)
        if not length:
            continue
        start = _number(value, order)
        yield tag, tiff[start : start + length] if length > 4 else value[:length]


def _number(raw: bytes, order: str) -> int:
    return int.from_bytes(raw, "little" if order == "<" else "big")


def _text(raw: bytes | None) -> str:
    """Of a stranger: without what can't be shown or stored."""
    shown = (raw or b"").split(b"\0")[0].decode(errors="replace")
    return "".join(letter for letter in shown if letter.isprintable()).strip()[:LONGEST]


def _camera(make: str, model: str) -> str | None:
    """`Canon` and `Canon EOS R5` are one name."""
    if model.lower().startswith(make.lower()):
        return model or None
    return f"{make} {model}".strip()[:LONGEST]


def _moment(written: str, offset: str) -> datetime | None:
    """Cameras write local time; where they don't say whose, it is taken as UTC."""
    if not re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", written):
        return None
    zone = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else "+00:00"
    try:
        return datetime.strptime(f"{written}{zone}", "%Y:%m:%d %H:%M:%S%z").astimezone(UTC)
    except ValueError:
        return None


def only_upright(orientation: int) -> bytes:
    """A block that says how to hold the picture, and nothing else."""
    return b"MM\0*" + pack(">IHHHIHHI", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
