"""Who may know whom, what a file may be called, and how long it may grow."""

import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from house.reading import ROOT, Source, sources

# What `wiring` builds storages of; the command prepares a bucket with them too, through `wiring`.
ADAPTERS = ("mooring.storage.disk", "mooring.storage.s3")
FRAMEWORKS = ("fastapi", "starlette")
MOST_LINES = 300
ON_ONE_PAGE = ("errors.py", "settings.py")  # by a rule of the house: a list to look things up in, and no story
WORDS_THAT_SAY_NOTHING = {"utils", "util", "common", "core", "base", "misc", "helper", "helpers", "manager", "managers"}


def knows_an_adapter(source: Source) -> bool:
    """The way they share inside storage/, and the disk store's words about its URLs, are no adapters."""
    if source.name.startswith("storage/") or source.name == "wiring.py":
        return False
    return any(one == adapter or one.startswith(f"{adapter}.") for one in source.imports for adapter in ADAPTERS)


def knows_the_framework(source: Source) -> bool:
    """`server.py` is the process: it is handed the application."""
    if source.name.startswith("web/") or source.name in ("app.py", "server.py"):
        return False
    return any(one.partition(".")[0] in FRAMEWORKS for one in source.imports)


def test_the_contracts_of_pyproject_hold() -> None:
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_a_broken_contract_is_noticed(tmp_path: Path) -> None:
    upside_down = tmp_path / ".importlinter"
    upside_down.write_text(
        "[importlinter]\nroot_package = mooring\n"
        "[importlinter:contract:1]\nname = upside down\ntype = layers\nlayers =\n  mooring.db\n  mooring.uploads\n"
    )
    assert lint_imports(str(upside_down), no_cache=True) == 1


def test_only_the_wiring_knows_the_adapters() -> None:
    assert [source.name for source in sources() if knows_an_adapter(source)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import mooring.storage.s3",
        "from mooring.storage.disk import DiskStorage",
        "from mooring.storage import s3",
        "def late():\n    from mooring.storage import disk",
    ],
)
def test_an_adapter_imported_elsewhere_is_noticed(line: str) -> None:
    assert knows_an_adapter(Source("library/photos.py", line))
    assert not knows_an_adapter(Source("wiring.py", line))


def test_the_framework_stays_at_the_edge() -> None:
    assert [source.name for source in sources() if knows_the_framework(source)] == []


@pytest.mark.parametrize("line", ["import fastapi", "from starlette.requests import Request"])
def test_the_framework_elsewhere_is_noticed(line: str) -> None:
    assert knows_the_framework(Source("uploads/service.py", line))
    assert not knows_the_framework(Source("web/uploads.py", line))


def test_errors_and_the_heart_know_nothing_of_http() -> None:
    quiet = ("errors.py", "uploads/", "library/", "storage/port.py")
    spoken = re.compile(r"\bHTTPStatus\b|\bstatus_code\b|\bHTTPException\b")
    assert [one.name for one in sources() if one.name.startswith(quiet) and spoken.search(one.text)] == []


def test_a_file_ends_before_it_tires() -> None:
    lengths = {source.name: source.text.count("\n") for source in sources() if source.name not in ON_ONE_PAGE}
    assert {name: length for name, length in lengths.items() if length >= MOST_LINES} == {}


def test_every_module_says_what_it_is() -> None:
    assert said_nothing([source.name for source in sources()]) == []
    assert said_nothing(["uploads/utils.py", "core/x.py", "db/pool_manager.py"]) != []


def said_nothing(names: list[str]) -> list[str]:
    return [name for name in names if WORDS_THAT_SAY_NOTHING & set(re.split(r"[/_.]", name))]
