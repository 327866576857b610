"""Where the bench stands: its folders, which core does what, and the servers it starts."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
WORK = ROOT / ".bench"  # everything the bench makes; may be deleted at any time
PYTHON = Path(sys.executable)  # Mooring's own
BENCH_PYTHON = WORK / "venv" / "bin" / "python"  # of the usual service

_cores = sorted(os.sched_getaffinity(0))
ALL_CORES = frozenset(_cores)
SERVER_CORE = frozenset(_cores[:1])  # the server under test, alone
OTHER_CORES = frozenset(_cores[1:] or _cores)  # its load, the database and the stub storage

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spawn(
    command: Sequence[str | Path],
    *,
    cores: Collection[int],
    env: Mapping[str, str] | None = None,
    cwd: Path = BENCH,
    log: Path | None = None,
) -> "subprocess.Popen[bytes]":
    with open(log or os.devnull, "ab") as out:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )


@dataclass(frozen=True)
class Server:
    """A running server: what it used of the processor and of memory, by the kernel's own account."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int
    with_children: bool = False  # a master process that leaves the work to another

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        return sum(_cpu_seconds(pid) for pid in self._pids())

    def rss_mb(self) -> float:
        return sum(_rss_mb(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        own = self.process.pid
        if not self.with_children:
            return [own]
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def serving(
    name: str,
    command: Sequence[str | Path],
    *,
    port: int,
    alive: str,
    cores: Collection[int] = SERVER_CORE,
    env: Mapping[str, str] | None = None,
    cwd: Path = BENCH,
    with_children: bool = False,
) -> Iterator[Server]:
    """Start a server, wait until `alive` (a path) answers anything, and stop it in the end."""
    log = WORK / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    process = spawn(command, cores=cores, env=env, cwd=cwd, log=log)
    try:
        server = Server(name, process, port, with_children)
        _wait_until_it_answers(server, alive, log)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(server: Server, path: str, log: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            urllib.request.urlopen(server.url + path, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, whatever it says
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{server.name} did not start; its last words:\n{log.read_text()[-2000:]}")
