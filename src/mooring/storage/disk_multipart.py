"""Multipart uploads of the disk store: `multipart/<id>/` holds one file per part, and `key`, which says what
they become. A multipart upload is open while `key` is there. Who adds a part shares a lock on it, who joins
or aborts has it alone: a late part or a second "complete" finds it closed and changes nothing."""

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mooring.errors import ObjectNotFound
from mooring.storage.disk_draft import Draft
from mooring.storage.disk_files import DiskFiles, etag_of, modified_at, sync_folder
from mooring.storage.keys import check_key
from mooring.storage.parts import parts_to_join
from mooring.storage.port import Found, OpenMultipart, Part

_ID = re.compile(r"[0-9a-f]{32}")
JOINED = "joined"
_ABANDONED = 3600  # seconds until a folder without `key` is no longer one that is just being made


@dataclass(frozen=True)
class DiskMultiparts:
    files: DiskFiles

    def begin(self, key: str) -> str:
        check_key(key)
        multipart_id = secrets.token_hex(16)
        folder = self.files.multipart / multipart_id
        folder.mkdir(mode=0o700)
        sync_folder(folder.parent)
        draft = Draft(self.files.tmp)
        try:
            draft.open()
            draft.write([key.encode()])
            self.files.name(draft, folder / "key", replace=True)
        finally:
            draft.discard()
        return multipart_id

    def add(self, draft: Draft, key: str, multipart_id: str, number: int) -> Found:
        with self._open(key, multipart_id, fcntl.LOCK_SH) as folder:
            return self.files.name(draft, folder / f"{number:05d}", replace=True)

    def parts(self, key: str, multipart_id: str) -> list[Part] | None:
        try:
            with self._open(key, multipart_id, fcntl.LOCK_SH) as folder:
                return _parts_in(folder)
        except ObjectNotFound:
            return None

    def complete(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        draft = Draft(self.files.tmp)
        with self._open(key, multipart_id, fcntl.LOCK_EX) as folder:
            chosen = parts_to_join(parts, _parts_in(folder))
            try:
                draft.open()
                for part in chosen:
                    _append(draft, folder / f"{part.number:05d}", part)
                self._mark(folder, draft)
                joined = self.files.publish(draft, key, replace=True)
            finally:
                draft.discard()
            _remove(folder)
            return joined

    def abort(self, key: str, multipart_id: str) -> None:
        try:
            with self._open(key, multipart_id, fcntl.LOCK_EX, even_if_joined=True) as folder:
                _remove(folder)
        except ObjectNotFound:
            return

    def all(self, prefix: str) -> Iterator[OpenMultipart]:
        with os.scandir(self.files.multipart) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            named = self.files.multipart / name / "key"
            try:
                key, begun = named.read_text("utf-8"), modified_at(named.lstat())
            except (FileNotFoundError, NotADirectoryError):
                continue
            if key.startswith(prefix):
                yield OpenMultipart(key, name, begun)

    def sweep(self) -> int:
        """Finish the removals and forget the beginnings that a crash cut short."""
        gone = 0
        for each in self.all(""):
            folder = self.files.multipart / each.multipart_id
            if self._is_joined(folder, each.key):
                self.abort(each.key, each.multipart_id)
                gone += 1
        with os.scandir(self.files.multipart) as entries:
            for entry in entries:
                old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
                if old and entry.is_dir(follow_symlinks=False) and not Path(entry.path, "key").exists():
                    shutil.rmtree(entry.path)
                    gone += 1
        return gone

    @contextmanager
    def _open(self, key: str, multipart_id: str, lock: int, *, even_if_joined: bool = False) -> Iterator[Path]:
        check_key(key)
        if not _ID.fullmatch(multipart_id):
            raise ObjectNotFound(key)
        folder = self.files.multipart / multipart_id
        try:
            fd = os.open(folder / "key", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            self.files.be_there()
            raise ObjectNotFound(key) from None
        try:
            fcntl.flock(fd, lock)
            is_open = os.fstat(fd).st_nlink > 0  # else it was closed while we waited
            if not is_open or os.pread(fd, 2048, 0) != key.encode():
                raise ObjectNotFound(key)
            if not even_if_joined and self._is_joined(folder, key):
                raise ObjectNotFound(key)
            yield folder
        finally:
            os.close(fd)

    @staticmethod
    def _mark(folder: Path, draft: Draft) -> None:
        """What it becomes has a second name here, so that who is killed before the folder is gone leaves no multipart
        that could be joined once more: that would change an object that may have arrived."""
        (folder / JOINED).unlink(missing_ok=True)  # of a try that did not come as far as the object
        os.link(draft.path, folder / JOINED)

    def _is_joined(self, folder: Path, key: str) -> bool:
        try:
            return os.path.samefile(folder / JOINED, self.files.path(key))
        except FileNotFoundError:
            return False


def _parts_in(folder: Path) -> list[Part]:
    parts = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                facts = entry.stat(follow_symlinks=False)
                parts.append(Part(int(entry.name), facts.st_size, etag_of(facts)))
    return sorted(parts, key=lambda part: part.number)


def _append(draft: Draft, path: Path, part: Part) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        draft.take_in(fd)
    finally:
        os.close(fd)


def _remove(folder: Path) -> None:
    (folder / "key").unlink()
    sync_folder(folder)
    shutil.rmtree(folder)
