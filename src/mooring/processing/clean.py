"""A copy of the original for strangers: the same picture bit by bit, without what its owner's camera and programs wrote
beside it. Position, names, comments, previews and whatever is appended go; colours and orientation stay.

What a format calls its parts is told apart by a list of what may stay: what nobody knows goes."""

import re
import zlib
from collections.abc import Callable, Iterator
from struct import pack, unpack_from

from mooring.processing.exif import only_upright

Pieces = Iterator[bytes | memoryview]


class NotWhole(Exception):
    """The file does not end as its format does."""


def clean_jpeg(file: memoryview, orientation: int) -> Pieces:
    yield b"\xff\xd8"
    if orientation != 1:
        block = b"Exif\0\0" + only_upright(orientation)
        yield b"\xff\xe1" + pack(">H", len(block) + 2) + block
    at = 2
    while True:
        at = _marker(file, at)
        marker = file[at + 1]
        if marker == 0xD9:
            yield file[at : at + 2]
            return
        end = at + 2 + _unpacked(">H", file, at + 2)
        if _may_stay(marker, file[at + 4 : end]):
            yield _without_preview(marker, file[at:end])
        at = end
        if marker == 0xDA:  # what follows is the picture itself, up to the next marker
            end = _marker(file, at)
            yield file[at:end]
            at = end


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _marker(file: memoryview, at: int) -> int:
    found = _MARKER.search(file, at)
    if found is None:
        raise NotWhole
    return found.start()


def _may_stay(marker: int, content: memoryview) -> bool:
    if marker == 0xE0:
        return bytes(content[:5]) == b"JFIF\0"
    if marker == 0xE2:
        return bytes(content[:12]) == b"ICC_PROFILE\0"
    if marker == 0xEE:  # says how the colours are coded
        return bytes(content[:5]) == b"Adobe"
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _without_preview(marker: int, segment: memoryview) -> bytes | memoryview:
    if marker == 0xE0:
        return b"\xff\xe0\x00\x10" + bytes(segment[4:16]).ljust(12, b"\0") + b"\0\0"
    return b"\xff\xee\x00\x0e" + bytes(segment[4:16]).ljust(12, b"\0") if marker == 0xEE else segment


_OF_PNG = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs hIST acTL fcTL fdAT".split()
)


def clean_png(file: memoryview, orientation: int) -> Pieces:
    yield file[:8]
    at = 8
    while True:
        end = at + 12 + _unpacked(">I", file, at)
        if end > len(file):
            raise NotWhole
        name = bytes(file[at + 4 : at + 8])
        if name in _OF_PNG:
            yield file[at:end]
        if name == b"IHDR" and orientation != 1:
            block = b"eXIf" + only_upright(orientation)
            yield pack(">I", len(block) - 4) + block + pack(">I", zlib.crc32(block))
        if name == b"IEND":
            return
        at = end


_OF_WEBP = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))


def clean_webp(file: memoryview, orientation: int) -> Pieces:
    kept = list(_webp_chunks(file))
    if not kept:
        raise NotWhole
    is_extended = bytes(kept[0][:4]) == b"VP8X"
    if is_extended:
        flags = kept[0][8] & ~0b1100 | (0b1000 if orientation != 1 else 0)  # neither EXIF nor XMP
        kept[0] = bytes(kept[0][:8]) + bytes((flags,)) + bytes(kept[0][9:])
    if is_extended and orientation != 1:
        block = only_upright(orientation)
        kept.append(b"EXIF" + pack("<I", len(block)) + block + b"\0" * (len(block) % 2))
    yield b"RIFF" + pack("<I", 4 + sum(map(len, kept))) + b"WEBP"
    yield from kept


def _webp_chunks(file: memoryview) -> Pieces:
    at, last = 12, 8 + _unpacked("<I", file, 4)
    while at < last:
        size = _unpacked("<I", file, at + 4)
        end = at + 8 + size + size % 2
        if end > len(file):
            raise NotWhole
        if bytes(file[at : at + 4]) in _OF_WEBP:
            yield file[at:end]
        at = end


_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def clean_gif(file: memoryview, orientation: int) -> Pieces:
    """GIF knows no orientation."""
    at = 13 + _palette(file, 10)
    yield file[:at]
    while True:
        block = _byte(file, at)
        if block == 0x3B:
            yield b"\x3b"
            return
        if block == 0x2C:
            end = _past_blocks(file, at + 11 + _palette(file, at + 9))
            yield file[at:end]
        elif block == 0x21:
            label = _byte(file, at + 1)
            end = _past_blocks(file, at + 2)
            if label == 0xF9 or (label == 0xFF and bytes(file[at + 3 : at + 14]) in _LOOPS):
                yield file[at:end]
        else:
            raise NotWhole
        at = end


def _palette(file: memoryview, at: int) -> int:
    flags = _byte(file, at)
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _past_blocks(file: memoryview, at: int) -> int:
    while size := _byte(file, at):
        at += 1 + size
    return at + 1


def _byte(file: memoryview, at: int) -> int:
    return _unpacked("B", file, at)


def _unpacked(form: str, file: memoryview, at: int) -> int:
    try:
        return int(unpack_from(form, file, at)[0])
    except Exception:
        raise NotWhole from None


# The formats whose files can be cleaned as they are. Others are written anew.
CLEANERS: dict[str, Callable[[memoryview, int], Pieces]] = {
    "image/jpeg": clean_jpeg,
    "image/png": clean_png,
    "image/webp": clean_webp,
    "image/gif": clean_gif,
}
