"""The files of the disk store. Nothing here knows an event loop, a URL or a multipart upload.

A file is made in `tmp/`, synced, and only then given its name, by link(2) where nothing may be replaced and
by rename(2) where it may: a reader sees the whole object or none, and so does who looks after a power cut.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mooring.clock import Clock
from mooring.errors import ObjectChanged, ObjectExists, ObjectNotFound
from mooring.storage.disk_draft import PIECE, Draft
from mooring.storage.disk_names import folder_of_prefix, relative_path, walk
from mooring.storage.keys import check_key
from mooring.storage.port import Found, Listed

_MILLISECOND = 1_000_000


@dataclass(frozen=True)
class DiskFiles:
    root: Path
    clock: Clock

    @cached_property
    def base(self) -> Path:
        return Path(os.path.realpath(self.root))  # the root itself may be a link

    @property
    def objects(self) -> Path:
        return self.base / "objects"

    @property
    def multipart(self) -> Path:
        return self.base / "multipart"

    @property
    def tmp(self) -> Path:
        return self.base / "tmp"

    # ── reading ──

    def path(self, key: str) -> Path:
        path = self.objects / relative_path(key)
        _refuse_links(path.parent)
        return path

    def stat(self, key: str) -> os.stat_result | None:
        try:
            facts = self.path(key).lstat()
        except FileNotFoundError:
            self.be_there()
            return None
        _refuse_others(facts, key)
        return facts

    @contextmanager
    def opened(self, key: str) -> Iterator[int]:
        try:
            fd = os.open(self.path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            self.be_there()
            raise ObjectNotFound(key) from None
        try:
            _refuse_others(os.fstat(fd), key)
            yield fd
        finally:
            os.close(fd)

    def read(self, key: str, *, start: int, end: int | None, etag: str | None) -> Iterator[bytes]:
        with self.opened(key) as fd:
            facts = os.fstat(fd)
            if etag is not None and etag != etag_of(facts):
                raise ObjectChanged(key)
            stop = facts.st_size if end is None else min(end, facts.st_size)
            while start < stop and (piece := os.pread(fd, min(PIECE, stop - start), start)):
                start += len(piece)
                yield piece

    def hold(self, key: str, *, etag: str) -> int:
        with self.opened(key) as fd:
            if etag != etag_of(os.fstat(fd)):
                raise ObjectChanged(key)
            return os.dup(fd)

    def list(self, prefix: str) -> Iterator[Listed]:
        self.be_there()
        folder = folder_of_prefix(prefix)
        if folder is None:
            return
        _refuse_links(self.objects / folder)
        for place in walk(self.objects / folder, prefix):
            try:
                facts = place.path.lstat()
            except FileNotFoundError:
                continue  # deleted meanwhile
            yield Listed(place.key, facts.st_size, modified_at(facts))

    def be_there(self) -> None:
        """Where the whole store is missing (an unmounted disk), that is an error, not "no such object"."""
        os.stat(self.objects)

    # ── writing ──

    def publish(self, draft: Draft, key: str, *, replace: bool) -> Found:
        path = self.path(key)
        try:
            return self.name(draft, path, replace=replace)
        except FileNotFoundError:
            self._make_folders(path.parent)
            return self.name(draft, path, replace=replace)

    def name(self, draft: Draft, path: Path, *, replace: bool) -> Found:
        """Give the draft its name, for good."""
        facts = draft.settle(stamp=self._stamp_after(path))
        if replace:
            draft.path.replace(path)
        else:
            try:
                os.link(draft.path, path, follow_symlinks=False)
            except FileExistsError:
                raise ObjectExists from None
        sync_folder(path.parent)
        return found(facts)

    def copy(self, source: str, target: str) -> None:
        check_key(target)
        draft = Draft(self.tmp)
        with self.opened(source) as fd:
            try:
                draft.open()
                draft.take_in(fd)
                self.publish(draft, target, replace=True)
            finally:
                draft.discard()

    def delete(self, key: str) -> None:
        path = self.path(key)
        try:
            path.unlink()
        except FileNotFoundError:
            self.be_there()
            return
        sync_folder(path.parent)

    def _stamp_after(self, path: Path) -> int:
        """The time of a new file, in nanoseconds. ETags are made of it, so no two may be equal: it is later
        than what it replaces, and below the millisecond the machine's, whichever clock was passed in."""
        stamp = int(self.clock().timestamp() * 1000) * _MILLISECOND + time.time_ns() % _MILLISECOND
        try:
            return max(stamp, path.lstat().st_mtime_ns + 1)
        except FileNotFoundError:
            return stamp

    def _make_folders(self, folder: Path) -> None:
        below = folder.relative_to(self.objects)
        for above in [*reversed(below.parents), below][1:]:
            made = self.objects / above
            made.mkdir(mode=0o700, exist_ok=True)
            sync_folder(made.parent)


def etag_of(facts: os.stat_result) -> str:
    """Of what a backup brings back unchanged, as long as it keeps times to the nanosecond."""
    return f"{facts.st_mtime_ns:x}-{facts.st_size:x}"


def found(facts: os.stat_result) -> Found:
    return Found(facts.st_size, etag_of(facts), modified_at=modified_at(facts))


def modified_at(facts: os.stat_result) -> datetime:
    return datetime.fromtimestamp(facts.st_mtime, UTC)


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_links(folder: Path) -> None:
    if os.path.realpath(folder) != str(folder):
        raise OSError(f"{folder} is or lies behind a symbolic link, which the disk store never follows")


def _refuse_others(facts: os.stat_result, key: str) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(f"what lies in the place of {key!r} is not a file")
