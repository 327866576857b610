"""The embedded PostgreSQL: started by its first user, shared by the next, stopped with the last.

Three locked files in `<data>/postgres/` say all there is to know, and the kernel
lets go of them however a process ends:

    gate    held while somebody decides to start or stop the server
    users   held, shared, by every process that uses the server
    server  held by the server itself and its children

`docs/decisions/0001-embedded-postgresql.md` tells why there is no other way in it."""

import asyncio
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from mooring.db.cluster import Cluster
from mooring.db.programs import database_user, make_passable, programs
from mooring.db.shell import shell
from mooring.errors import SetupProblem

START_SECONDS = 60.0  # recovery after a crash of a busy server takes its time
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.005
WATCH_SECONDS = 0.2
LONGEST_PAUSE = 30.0

log = structlog.get_logger()


class Embedded:
    """`with Embedded(folder) as server:` or `start()` and `stop()`. Blocking; in asyncio use `async with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        self._cluster: Cluster | None = None
        self._users: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._running_cluster().url

    def start(self) -> str:
        """The server's address. It is ready, whether we started it or found it."""
        if self._users is None:
            try:
                self._join()
            except OSError as error:  # a full disk, a folder that can't be written
                raise SetupProblem(f"The embedded database in {self.folder} can't be used: {error}.") from error
        return self.url

    def stop(self) -> None:
        """No longer a user of the server; the last one stops it."""
        if self._users is None:
            return
        with self._gate():
            users, self._users = self._users, None
            fcntl.flock(users, fcntl.LOCK_UN)
            is_last = _try_lock(users, fcntl.LOCK_EX)
            if is_last:
                self._end_server()
            os.close(users)
        self._let_go()

    async def watch(self) -> None:
        """Brings the server back when it dies under us. Runs until cancelled."""
        pause = WATCH_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._is_held():
                pause = WATCH_SECONDS
                continue
            log.warning("database_died")
            try:
                await asyncio.to_thread(self._revive)
                log.info("database_restarted")
            except (SetupProblem, OSError) as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                log.error("database_not_restarted", reason=str(error))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # ── under the gate ──

    def _join(self) -> None:
        user = database_user()
        home = _open_home(self.folder)
        self._cluster = Cluster(home, user, programs(user))
        if user.is_other:
            self._check_reachable()
        with self._gate():
            users = _open(home / "users")
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                self._cluster.make()
                self._make_ready()
            except BaseException:
                os.close(users)
                raise
            self._users = users

    def _make_ready(self) -> None:
        """Find the server running, or start it. One that is just dying is waited for."""
        cluster = self._running_cluster()
        deadline = time.monotonic() + START_SECONDS
        lock = _open(cluster.home / "server")
        try:
            while not cluster.is_ready():
                if _try_lock(lock, fcntl.LOCK_EX):
                    self._launch(lock, deadline)
                    return
                if time.monotonic() > deadline:
                    raise SetupProblem(f"PostgreSQL in {cluster.home} does not get ready. Its log is {cluster.log}.")
                time.sleep(LOOK_SECONDS)
        finally:
            os.close(lock)

    def _launch(self, lock: int, deadline: float) -> None:
        cluster = self._running_cluster()
        self._reap()
        since = cluster.log.stat().st_size if cluster.log.exists() else 0
        process = self._process = cluster.launch(lock)
        while not cluster.is_ready():
            if process.poll() is not None:
                raise SetupProblem(
                    f"PostgreSQL did not start. Its log, {cluster.log}, ends: {cluster.last_words(since)}"
                )
            if time.monotonic() > deadline:
                cluster.ask_to_end()
                raise SetupProblem(f"PostgreSQL in {cluster.home} does not get ready. Its log is {cluster.log}.")
            time.sleep(LOOK_SECONDS)

    def _end_server(self) -> None:
        cluster = self._running_cluster()
        lock = _open(cluster.home / "server")
        try:
            deadline = time.monotonic() + STOP_SECONDS
            cluster.ask_to_end()
            while not _try_lock(lock, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    log.warning("database_still_stopping", log=str(cluster.log))
                    return
                time.sleep(LOOK_SECONDS)
            self._reap()
            cluster.tidy()
        finally:
            os.close(lock)

    def _revive(self) -> None:
        with self._gate():
            if self._users is not None:  # else we stopped in the meantime
                self._make_ready()

    # ── small ──

    def _running_cluster(self) -> Cluster:
        if self._cluster is None:
            raise RuntimeError("start() comes first")
        return self._cluster

    @contextmanager
    def _gate(self) -> Iterator[None]:
        gate = _open(self._running_cluster().home / "gate")
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _is_held(self) -> bool:
        lock = _open(self._running_cluster().home / "server")
        try:
            return not _try_lock(
                lock, fcntl.LOCK_SH
            )  # shared, so that two watchers don't take each other for the server
        finally:
            os.close(lock)

    def _reap(self) -> None:
        """A server of ours that let go of its lock is dead: it must not stay a zombie."""
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _let_go(self) -> None:
        """The server outlives us, for others use it."""
        if self._process is not None and self._process.poll() is None:
            self._process.returncode = 0  # or Popen complains of what we mean to do
        self._process = None

    def _check_reachable(self) -> None:
        cluster = self._running_cluster()
        name = cluster.user.name
        for folder in (*reversed(cluster.home.parents), cluster.home):
            if not cluster.user.may('cd -- "$1"', folder):
                raise SetupProblem(
                    f"As root, PostgreSQL runs as the user {name!r}, which may not enter {folder}; Mooring "
                    "never opens an existing folder to others. Keep the data elsewhere, such as "
                    "MOORING_DATA=/var/lib/mooring, or run Mooring as an ordinary user."
                )


def psql(at: Path | str, arguments: tuple[str, ...] = ()) -> int:
    """psql on a database's address, or on the embedded one in a data folder, which stays up as long."""
    if isinstance(at, str):
        return shell(at, arguments)
    with Embedded(at) as server:
        return shell(server.url, arguments)


def _open_home(folder: Path) -> Path:
    """`<data>/postgres`, made where it isn't, ours alone to write in."""
    try:
        make_passable(folder)
        home = folder.resolve() / "postgres"
        make_passable(home)
    except OSError as error:
        raise SetupProblem(
            f"The data folder {folder} can't be used: {error}. Choose another one with MOORING_DATA or --data."
        ) from error
    for path, owners in ((home.parent, {0, os.geteuid()}), (home, {os.geteuid()})):
        owner = path.stat().st_uid
        if owner not in owners:
            raise SetupProblem(
                f"{path} belongs to user {owner}, and this is user {os.geteuid()}: a data folder is one "
                "user's. Run Mooring as that user, or choose another folder with MOORING_DATA or --data."
            )
    return home


def _open(file: Path) -> int:
    return os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
