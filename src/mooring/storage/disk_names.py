"""Where a key's bytes lie below `objects/`, and which key a file there is.

A key's segments are folders and its last segment is a file, under their own names, with three exceptions:
a folder's name ends in `%`, so that the keys `a` and `a/b` can both exist; a segment too long for a name goes
on inside a folder whose name ends in `%+`; and `%` itself is written `%25`.
`photos/2f6c_sea.jpg` is the file `photos%/2f6c_sea.jpg`.
"""

import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mooring.storage.keys import check_key

Mark = Literal["", "%", "%+"]
FILE: Mark = ""
FOLDER: Mark = "%"
GOES_ON: Mark = "%+"
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_PIECE = 240  # bytes: with its mark still below the 255 of every file system
_AT_ONCE = 50_000  # names of one folder held in memory; a larger folder is read several times


@dataclass(frozen=True, slots=True)
class Place:
    """One file below `objects/`."""

    key: str
    path: Path


def relative_path(key: str) -> Path:
    check_key(key)
    *folders, last = key.split("/")
    *starts, rest = _pieces(last)
    return Path(*_folders(folders), *(_name(start, GOES_ON) for start in starts), _name(rest, FILE))


def folder_of_prefix(prefix: str) -> Path | None:
    """The deepest folder that holds every key beginning with `prefix`; None where no key can."""
    folders = prefix.split("/")[:-1]
    try:
        if folders:
            check_key("/".join(folders))
    except ValueError:
        return None
    return Path(*_folders(folders))


def walk(folder: Path, prefix: str) -> Iterator[Place]:
    """Every object whose key begins with `prefix`, of which `folder` is the folder, in the order of the keys'
    UTF-8 bytes. A folder is read as it is reached; what comes or goes meanwhile may or may not be seen."""
    head, slash, begin = prefix.rpartition("/")
    return _walk(folder, head + slash, begin)


def _walk(folder: Path, base: str, begin: str) -> Iterator[Place]:
    here = _in_order(folder, base, begin)
    longer = [
        _walk(folder / _name(start, GOES_ON), base + start, begin[len(start) :])
        for start, mark in _entries(folder)
        if mark == GOES_ON and (start.startswith(begin) or begin.startswith(start))
    ]
    if not longer:
        return here
    # What goes on inside `X%+` stands anywhere among the keys that begin with X: after `X`, around `X/…`.
    return heapq.merge(here, *longer, key=lambda place: place.key.encode())


def _in_order(folder: Path, base: str, begin: str) -> Iterator[Place]:
    last = b""
    while True:
        names = heapq.nsmallest(_AT_ONCE, (name for name in _names(folder, begin) if name > last))
        for name in map(bytes.decode, names):
            if name.endswith("/"):
                yield from _walk(folder / _name(name[:-1], FOLDER), base + name, "")
            else:
                yield Place(base + name, folder / _name(name, FILE))
        if len(names) < _AT_ONCE:
            return
        last = names[-1]


def _names(folder: Path, begin: str) -> Iterator[bytes]:
    """A folder counts as its name with a slash: `a-b` comes before all of `a/…`, as in the keys."""
    for text, mark in _entries(folder):
        if mark != GOES_ON and text.startswith(begin):
            yield (f"{text}/" if mark == FOLDER else text).encode()


def _entries(folder: Path) -> Iterator[tuple[str, Mark]]:
    """What this store put into a folder. Others' files, and links whatever they point to, are passed over."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            mark = _mark(entry)
            if mark is None:
                continue
            text = entry.name.removesuffix(mark).replace("%2E", ".").replace("%25", "%")
            if _name(text, mark) == entry.name and not _NOT_TEXT.search(text):
                yield text, mark


def _mark(entry: os.DirEntry[str]) -> Mark | None:
    if entry.is_file(follow_symlinks=False):
        return FILE
    if not entry.is_dir(follow_symlinks=False):
        return None
    return next((mark for mark in (GOES_ON, FOLDER) if entry.name.endswith(mark)), None)


def _name(text: str, mark: Mark) -> str:
    name = text.replace("%", "%25")
    if mark == FILE and name in (".", ".."):  # the rest of a long segment can be that
        name = name.replace(".", "%2E")
    return name + mark


def _folders(segments: list[str]) -> Iterator[str]:
    for segment in segments:
        *starts, rest = _pieces(segment)
        yield from (_name(start, GOES_ON) for start in starts)
        yield _name(rest, FOLDER)


def _pieces(segment: str) -> list[str]:
    """The segment in pieces that fit a file name."""
    if len(_name(segment, FILE).encode()) <= _LONGEST_PIECE:
        return [segment]
    pieces, room = [""], _LONGEST_PIECE
    for letter in segment:
        size = len(_name(letter, FOLDER).encode()) - len(FOLDER)
        if size > room:
            pieces.append("")
            room = _LONGEST_PIECE
        pieces[-1] += letter
        room -= size
    return pieces
