"""Nothing in the house says on which machine it was built, where its parts were fetched, or how it was merged."""

import os
import re
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from house.reading import ROOT
from servers.postgres import missing

SOMEBODYS_FOLDER = re.compile(r"/(?:work|Users|home/(?!app\b)[a-z]\w*)/\w")
SAYS_WHERE_FROM = re.compile(r"(?i)(index-?_?url|registry|find.links|^uv_(default_)?index)$")
LEFT_BY_A_MERGE = re.compile(r"(?m)^(?:<{7}|>{7}) .*")
LOCKS = re.compile(r"\.lock$|package-lock\.json$|requirements.*\.(in|txt)$")


def tracked() -> dict[str, str]:
    """Every file under version control that is text."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        missing("Which files are tracked is only known in a git checkout.")
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    )
    found = {}
    for name in listed.stdout.decode().split("\0"):
        file = ROOT / name
        if name and file.is_file():
            found[name] = file.read_bytes().decode(errors="ignore")
    return found


def shelves() -> set[str]:
    """Where this machine gets its packages instead of the public registries: hosts and folders."""
    pip = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    said = subprocess.run(pip, check=True, capture_output=True, text=True).stdout.splitlines()
    said += [f"{name}={value}" for name, value in os.environ.items()]
    named = [line.partition("=")[2] for line in said if SAYS_WHERE_FROM.search(line.partition("=")[0])]
    places = [urlsplit(place.strip("'\"")) for place in " ".join(named).split()]
    return {shelf for place in places if (shelf := place.hostname or place.path)}


def faults(name: str, text: str, private: set[str]) -> list[str]:
    found = [shelf for shelf in private if shelf in text]
    found += [folder for folder in (str(ROOT),) if len(ROOT.parts) > 2 and folder in text]
    found += SOMEBODYS_FOLDER.findall(text)
    found += LEFT_BY_A_MERGE.findall(text)
    if LOCKS.search(name):
        found += re.findall(r"(?m)^\s*--(?:extra-)?index-url.*|\"resolved\".*|^--find-links.*", text)
    return found


def test_no_file_names_a_registry_a_folder_of_this_machine_or_a_merge() -> None:
    private = shelves()
    found = {name: wrong for name, text in tracked().items() if (wrong := faults(name, text, private))}
    assert found == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "cd " + "/".join(["", "home", "ada", "mooring"])),
        ("docs/x.md", "see " + "/".join(["", "Users", "ada"])),
        ("x.py", str(ROOT)),
        ("requirements.lock", "--index-url https://example.org/simple"),
        ("bench/peers/x/package-lock.json", '"resolved": "https://example.org/x.tgz"'),
        ("x.md", "a\n" + "<" * 7 + " HEAD\nb\n"),
        ("Makefile", "pip install --index-url https://pypi.example.org/simple x"),
    ],
)
def test_such_a_name_is_noticed(name: str, text: str) -> None:
    assert faults(name, text, {"pypi.example.org"})
