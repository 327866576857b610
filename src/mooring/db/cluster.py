"""One PostgreSQL cluster in a folder of ours: made, launched, asked to end. When: `embedded.py`."""

import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mooring.db.programs import MAJOR, SystemUser, runner_name
from mooring.errors import SetupProblem

PORT = 5432
LONGEST_SOCKET = 103  # bytes of its path, on every system: 107 on Linux
LONGEST_LOG = 10 * 2**20
_INITDB = (
    "--username=postgres",
    "--auth=peer",
    "--data-checksums",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")  # commas and quotes mean something in a list of hosts

# `postgres` is the superuser, for repairs; Mooring itself can do nothing outside its databases.
_FIRST_WORDS = b"CREATE ROLE mooring LOGIN CREATEDB;\nCREATE DATABASE mooring OWNER mooring;\n"


@dataclass(frozen=True, slots=True)
class Cluster:
    home: Path
    user: SystemUser
    programs: Path

    @property
    def folder(self) -> Path:
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def socket_folder(self) -> Path:
        return (self.home / "socket").resolve()

    @property
    def url(self) -> str:
        return f"postgresql://mooring@/mooring?host={quote(str(self.socket_folder), safe='/')}&port={PORT}"

    def is_ready(self) -> bool:
        # Asked twice: a killed server leaves "ready" behind, and its successor may listen in between.
        return self._says_ready() and self._listens() and self._says_ready()

    def pid(self) -> int | None:
        try:
            return int(self._status()[0])
        except (IndexError, ValueError):
            return None

    # ── making ──

    def make(self) -> None:
        """All or nothing: what an interrupted attempt left is thrown away."""
        if self.folder.exists():
            self._check()
            return
        unfinished = self.home / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.user.own(unfinished)
        self._run("initdb", *_INITDB, "-D", unfinished)
        self._run("postgres", "--single", "-D", unfinished, "postgres", words=_FIRST_WORDS)
        unfinished.rename(self.folder)
        descriptor = os.open(self.home, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _check(self) -> None:
        try:
            written_by = (self.folder / "PG_VERSION").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupProblem(
                f"{self.folder} holds no PostgreSQL cluster ({error}). Restore it from a backup, "
                "or move it away to begin with an empty database."
            ) from error
        if written_by != str(MAJOR):
            raise SetupProblem(
                f"{self.folder} was written by PostgreSQL {written_by}, and this Mooring brings {MAJOR}. "
                "Dump it with the Mooring that wrote it, move it away, and restore."
            )

    def _run(self, program: str, *arguments: str | Path, words: bytes = b"") -> None:
        done = subprocess.run(
            [self.programs / "bin" / program, *arguments],
            input=words,
            capture_output=True,
            check=False,
            **self.user.options,
        )
        # A single-user server answers 0 whatever its statements did, but complains aloud.
        if done.returncode != 0 or b"ERROR:" in done.stderr:
            said = _end(done.stderr.decode(errors="replace"))
            raise SetupProblem(f"The database could not be made in {self.home}: {said}")

    # ── running ──

    def launch(self, lock: int) -> subprocess.Popen[bytes]:
        """The server inherits the locked file: while the lock is held, it or one of its children lives."""
        self._forget_the_dead()
        self._admit()
        folder = self._make_socket_folder()
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.replace(self.home / "log.old")
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(folder),
            "hba_file": str(self.home / "hba.conf"),
            "ident_file": str(self.home / "ident.conf"),
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Nobody rotates this log: no news of every checkpoint, no statements, and nobody's values in it.
            "log_checkpoints": "off",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        command: list[str | Path] = [self.programs / "bin" / "postgres", "-D", self.folder]
        command += [f"--{name}={value}" for name, value in settings.items()]
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
                **self.user.options,
            )
        finally:
            os.close(log)

    def ask_to_end(self) -> None:
        """Fast shutdown. In the database user's name, who wrote the file that the number comes from."""
        subprocess.run(
            [self.programs / "bin" / "pg_ctl", "kill", "INT", str(self.pid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            **self.user.options,
        )

    def tidy(self) -> None:
        """A short-named socket folder elsewhere goes with the server."""
        link = self.home / "socket"
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
            link.unlink()

    def _admit(self) -> None:
        """Who may sign in: whom the kernel calls the user that runs Mooring, or the database's own user."""
        admitted = sorted({runner_name(), self.user.name})
        lines = [f'mooring "{name}" {role}' for name in admitted for role in ("mooring", "postgres")]
        for file, text in (
            ("hba.conf", "local all all peer map=mooring\n"),
            ("ident.conf", "\n".join(lines) + "\n"),
        ):
            path = self.home / file
            path.write_text(text)
            path.chmod(0o644)

    def _make_socket_folder(self) -> Path:
        """In our folder, or where its path is too long for a socket, a short one behind the link `socket`.
        It stays the same over the server's deaths, for clients keep its address."""
        link = self.home / "socket"
        if link.is_symlink() and self._is_private(link.resolve()):
            return link.resolve()
        if link.is_symlink():
            link.unlink()
        if _fits(link):
            link.mkdir(mode=0o700, exist_ok=True)
        else:
            link.symlink_to(tempfile.mkdtemp(prefix="mooring-", dir=_short_folder()))
        self.user.own(link.resolve())
        return link.resolve()

    def _is_private(self, folder: Path) -> bool:
        """Temporary folders get cleaned away, and then anybody can make one of the same name."""
        try:
            found = folder.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self.user.uid and not found.st_mode & 0o077

    def _forget_the_dead(self) -> None:
        """The lock says that no server runs, but PostgreSQL goes by its number, and takes for a rival whoever
        has it: another program after a crash of the machine, or the old server's zombie while its parent is
        busy. Where that can't be told, PostgreSQL decides."""
        try:
            command = Path(f"/proc/{self.pid()}/cmdline").read_bytes()  # a zombie's is empty
        except OSError:
            return
        if b"postgres" not in command:
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
            (self.socket_folder / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def _status(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _says_ready(self) -> bool:
        lines = self._status()
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket_folder / f".s.PGSQL.{PORT}"))
            except OSError:
                return False
        return True

    def last_words(self, since: int) -> str:
        with self.log.open("rb") as log:
            log.seek(since)
            return _end(log.read().decode(errors="replace"))


def _fits(folder: Path) -> bool:
    path = str(folder / f".s.PGSQL.{PORT}")
    return len(os.fsencode(path)) <= LONGEST_SOCKET and _PLAIN.fullmatch(path) is not None


def _short_folder() -> Path:
    """A place in which to make a private folder of unguessable name."""
    folders = (Path(tempfile.gettempdir()).resolve(), Path("/tmp").resolve())  # noqa: S108
    return next((folder for folder in folders if _fits(folder / "mooring-12345678")), folders[-1])


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])
