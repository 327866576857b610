"""Whom the embedded PostgreSQL lets in, where it can live, and what it says where it can't."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import pytest

from mooring.db import programs
from mooring.db.cluster import LONGEST_SOCKET
from mooring.db.embedded import Embedded, psql
from mooring.errors import SetupProblem
from servers import ours

USER = Path(__file__).parents[1] / "servers" / "embedded_user.py"
NOBODY = pwd.getpwnam("nobody").pw_uid
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as several users")

KNOCK = """
import asyncio, asyncpg, encodings.idna, os, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
async def knock():
    try:
        await (await asyncpg.connect(sys.argv[1], timeout=5)).close()
        print("in")
    except Exception as error:
        print(type(error).__name__)
asyncio.run(knock())
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def knock(url: str, uid: int) -> str:
    return ours.run([ours.PYTHON, "-c", KNOCK, url, str(uid)]).stdout.strip()


def use(folder: Path, *options: str) -> str:
    """What another process says that starts the server there and stops it at once."""
    return ours.run([ours.PYTHON, "-W", "error", USER, folder, *options], input="").stdout.strip()


@pytest.fixture
def programs_for_all(short_folder: Path) -> Path:
    """PostgreSQL's programs where every user can run them, wherever this checkout is."""
    site, _ = programs.wheel()
    for part in (programs.INSIDE, programs.LIBRARIES):
        shutil.copytree(site / part, short_folder / "site" / part, symlinks=True)
    return short_folder / "site"


# ── who comes in ──


@as_root
def test_another_user_of_the_machine_stays_outside(short_folder: Path) -> None:
    with Embedded(short_folder) as server:
        folder = short_folder / "postgres" / "socket"
        assert mode(folder) == 0o700
        assert knock(server.url, NOBODY) == "PermissionError"
        folder.chmod(0o755)  # and were the folder open, PostgreSQL would still ask the kernel who it is
        for role in ("mooring", "postgres", "nobody"):
            url = server.url.replace("//mooring@", f"//{role}@")
            assert knock(url, NOBODY) == "InvalidAuthorizationSpecificationError"


@as_root
def test_root_and_the_databases_own_user_come_in(short_folder: Path) -> None:
    with Embedded(short_folder) as server:
        assert knock(server.url, 0) == "in"
        assert knock(server.url, programs.database_user().uid) == "in"


@as_root
def test_a_root_s_postgresql_is_not_root(short_folder: Path) -> None:
    with Embedded(short_folder):
        pid = (short_folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
        status = Path(f"/proc/{pid}/status").read_text()
        uid = programs.database_user().uid
        assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
        assert "\nGroups:\t \n" in status


@as_root
def test_an_ordinary_user_has_one_too(short_folder: Path, programs_for_all: Path) -> None:
    home = short_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    said = use(home / "deep" / "data", "--as", str(NOBODY), "--programs", str(programs_for_all))
    assert said == f"postgresql://mooring@/mooring?host={home}/deep/data/postgres/socket&port=5432"
    assert (home / "deep" / "data" / "postgres" / "cluster").stat().st_uid == NOBODY


# ── modes of folders ──


def test_no_folder_that_was_there_changes_its_mode(short_folder: Path) -> None:
    modes = (0o711, 0o751, 0o775, 0o711)
    folder = short_folder
    for number, wanted in enumerate(modes):
        folder = folder / f"folder{number}"
        folder.mkdir()
        folder.chmod(wanted)
    before = {path: path.stat().st_mode for path in (folder, *folder.parents)}
    with Embedded(folder):
        pass
    assert {path: path.stat().st_mode for path in (folder, *folder.parents)} == before


def test_what_it_makes_can_be_passed_but_not_listed_whatever_the_umask(short_folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with Embedded(short_folder / "deep" / "data"):
            assert mode(short_folder / "deep") == mode(short_folder / "deep" / "data") == 0o711
            assert mode(short_folder / "deep" / "data" / "postgres" / "cluster") == 0o700
            assert mode(short_folder / "deep" / "data" / "postgres" / "log") == 0o600
    finally:
        os.umask(before)


@as_root
def test_a_folder_that_the_databases_user_can_not_reach_is_named(short_folder: Path) -> None:
    private = short_folder / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(SetupProblem, match=f"may not enter {private}; .*MOORING_DATA=/var/lib/mooring"):
        Embedded(private / "data").start()
    assert mode(private) == 0o700


@as_root
def test_programs_in_a_private_folder_are_copied_once_to_where_they_can_run(
    short_folder: Path, programs_for_all: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = short_folder / "private"
    private.mkdir(mode=0o700)
    programs_for_all.rename(private / "site")
    monkeypatch.setattr(programs, "wheel", lambda: (private / "site", "1.2"))
    monkeypatch.setattr(programs, "COPIES", short_folder / "copies")
    for _ in range(2):
        with Embedded(short_folder / "data"):
            pass
    copy = short_folder / "copies" / "1.2"
    assert copy.stat().st_uid == 0
    assert mode(copy) == mode(copy / programs.INSIDE / "bin" / "postgres") == 0o755
    assert mode(private) == 0o700
    copy.parent.chmod(0o777)  # programs that anybody could have put there are not run
    shutil.rmtree(copy)
    with pytest.raises(SetupProblem, match="must belong to root"):
        Embedded(short_folder / "data").start()


# ── paths that a socket can't have ──


@pytest.fixture(params=["long", "strange"])
def awkward(short_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = short_folder / ("x" * 120 if request.param == "long" else "사진, 100% 'my' data+?")
    yield folder
    link = folder / "postgres" / "socket"
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)


async def test_an_awkward_path_gets_a_short_private_folder_for_its_socket(awkward: Path) -> None:
    with Embedded(awkward) as server:
        host = Path(unquote(server.url.split("host=")[1].split("&")[0]))
        assert len(str(host)) < LONGEST_SOCKET
        assert mode(host) == 0o700
        assert host.stat().st_uid == programs.database_user().uid
        assert psql(awkward, ("-XAtc", "SELECT 1")) == 0
        connection = await asyncpg.connect(server.url)
        await connection.close()
        with Embedded(awkward) as neighbour:
            assert neighbour.url == server.url
    assert not host.exists()


@as_root
def test_a_short_folder_that_somebody_else_put_there_is_not_used(short_folder: Path) -> None:
    awkward = short_folder / ("x" * 120)
    with Embedded(awkward):
        pass
    theirs = short_folder / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, NOBODY, NOBODY)
    (awkward / "postgres" / "socket").symlink_to(theirs)
    with Embedded(awkward):
        assert (awkward / "postgres" / "socket").resolve() != theirs
    assert list(theirs.iterdir()) == []


# ── what a person must put right ──


@as_root
def test_a_data_folder_of_another_user_is_refused(short_folder: Path, programs_for_all: Path) -> None:
    with Embedded(short_folder / "data"):
        pass
    as_nobody = ("--as", str(NOBODY), "--programs", str(programs_for_all))
    assert f"belongs to user 0, and this is user {NOBODY}" in use(short_folder / "data", *as_nobody)
    theirs = short_folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    assert use(theirs, *as_nobody).startswith("postgresql://")
    with pytest.raises(SetupProblem, match=f"belongs to user {NOBODY}, and this is user 0"):
        Embedded(theirs).start()


def test_a_folder_that_is_a_file_is_refused(short_folder: Path) -> None:
    (short_folder / "file").touch()
    with pytest.raises(SetupProblem, match=r"file.* can't be used"):
        Embedded(short_folder / "file" / "data").start()


def test_a_cluster_of_another_postgresql_or_none_is_refused_and_left_alone(short_folder: Path) -> None:
    with Embedded(short_folder):
        pass
    version = short_folder / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(SetupProblem, match="was written by PostgreSQL 17, and this Mooring brings 18"):
        Embedded(short_folder).start()
    version.unlink()
    with pytest.raises(SetupProblem, match="holds no PostgreSQL cluster"):
        Embedded(short_folder).start()
    version.write_text("18\n")
    with Embedded(short_folder):  # a refusal holds no lock
        pass


def test_a_corrupted_cluster_shows_the_end_of_the_log(short_folder: Path) -> None:
    with Embedded(short_folder):
        pass
    control = short_folder / "postgres" / "cluster" / "global" / "pg_control"
    control.write_bytes(b"\0" * control.stat().st_size)
    with pytest.raises(SetupProblem, match=r"did not start. Its log, .*log, ends: .*FATAL"):
        Embedded(short_folder).start()


def test_a_full_disk_says_so_and_the_next_start_makes_all_anew(short_folder: Path) -> None:
    # A limit on file sizes stops the first large write, as a full disk does.
    said = use(short_folder, "--largest-file", str(2**20))
    assert "SetupProblem: The database could not be made" in said
    with Embedded(short_folder):
        assert not (short_folder / "postgres" / "cluster.unfinished").exists()


@as_root
def test_a_system_user_that_can_not_be_made_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "NAME", "mooring-nobody-has")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SetupProblem, match=r"Make it with: useradd --system .* or run Mooring as an ordinary user"):
        programs.database_user()


@as_root
def test_a_number_that_another_program_has_now_is_no_rival(short_folder: Path) -> None:
    with Embedded(short_folder):
        pass
    with subprocess.Popen(["sleep", "60"], **programs.database_user().options) as other:
        stale = short_folder / "postgres" / "cluster" / "postmaster.pid"
        stale.write_text(f"{other.pid}\n{stale.parent}\n1\n5432\n\n\n0 0\nready\n")
        with Embedded(short_folder):
            assert stale.read_text().split()[0] != str(other.pid)
        assert other.poll() is None
        other.kill()
