from pathlib import Path

import pytest

from servers.serving import mooring

__all__ = ["mooring"]

# `make e2e` alone: the first needs Ceph, the others take minutes.
ONLY_THERE = ("test_bucket_events.py", "test_drill.py", "test_fire_drill.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path.name in ONLY_THERE and not config.getoption("--ceph") else None
