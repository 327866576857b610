"""A file in the making, and what a crash leaves of one."""

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 2**20  # bytes moved at a time: few enough to hold, many enough that the hop to a thread costs little
_CANT_COPY_INSIDE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass
class Draft:
    """A file of no consequence yet, locked while its maker lives: so a sweep tells work from leftovers."""

    folder: Path
    hashing: bool = False
    path: Path = field(init=False)
    fd: int = field(default=-1, init=False)

    def open(self) -> None:
        self._hash = hashlib.sha256()
        while self.fd < 0:
            self.path = self.folder / secrets.token_hex(16)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                self.fd = fd
            else:  # swept away between the two lines above
                os.close(fd)

    def write(self, pieces: Iterable[bytes]) -> None:
        rest = memoryview(b"".join(pieces))
        if self.hashing:
            self._hash.update(rest)
        while rest:
            rest = rest[os.write(self.fd, rest) :]

    def take_in(self, source: int) -> None:
        """The rest of another file, without its bytes passing through here where the system can do that."""
        try:
            while os.copy_file_range(source, self.fd, 2**30):
                pass
        except OSError as problem:
            if problem.errno not in _CANT_COPY_INSIDE:
                raise
            while piece := os.read(source, PIECE):
                self.write([piece])

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def settle(self, *, stamp: int) -> os.stat_result:
        """The bytes and their time are on the disk, not only on their way."""
        os.utime(self.fd, ns=(stamp, stamp))
        os.fsync(self.fd)
        return os.fstat(self.fd)

    def discard(self) -> None:
        """The draft goes: all of it, or the second name of what was linked."""
        if self.fd < 0:
            return
        self.path.unlink(missing_ok=True)  # before the lock goes with the file: nobody else may find it
        os.close(self.fd)
        self.fd = -1


def sweep(folder: Path) -> int:
    """Remove the drafts whose makers are gone; how many there were."""
    gone = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                gone += _remove_unless_held(entry.path)
    return gone


def _remove_unless_held(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
    return True
