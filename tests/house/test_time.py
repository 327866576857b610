"""The clock is passed in, and no test waits."""

import ast

import pytest

from house.reading import ROOT, Source, sources

# Where the machine's own time is the subject.
MAY_LOOK = {
    "clock.py": "the clock itself",
    "observe/logs.py": "when a line was written",
    "web/errors.py": "when an error was answered",
    "web/shared_windows.py": "`limits` counts by the time in Redis and tells when to come again in it",
    "storage/disk_files.py": "below the millisecond, so that no two ETags are equal",
    "storage/disk_multipart.py": "how long ago the file system says a draft was touched",
}
# Real processes take real time: only their tests, and what starts them, may wait.
MAY_WAIT = ("e2e/", "flow/test_embedded", "servers/")


def looks_at_the_clock(source: Source) -> list[int]:
    """Lines that read the time of day; `perf_counter` and `monotonic` measure, which is something else."""
    named = {"now", "utcnow", "today", "time_ns"}
    return [
        node.lineno
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if (node.func.attr in named and _root(node.func) in ("datetime", "date", "time"))
        or (node.func.attr == "time" and _root(node.func) == "time")
    ]


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def waits(source: Source) -> list[int]:
    """Lines that sleep; `sleep(0)` only lets others go first."""
    return [
        node.lineno
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _called(node) == "sleep" and not _is_zero(node)
    ]


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_zero(call: ast.Call) -> bool:
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def test_the_clock_is_passed_in() -> None:
    found = {source.name: lines for source in sources() if (lines := looks_at_the_clock(source))}
    assert set(found) == set(MAY_LOOK), found


@pytest.mark.parametrize(
    "line",
    [
        "datetime.now(UTC)",
        "datetime.datetime.now()",
        "datetime.utcnow()",
        "date.today()",
        "time.time()",
        "time.time_ns()",
    ],
)
def test_a_look_at_the_clock_is_noticed(line: str) -> None:
    assert looks_at_the_clock(Source("uploads/service.py", f"def f():\n    return {line}")) == [2]


def test_no_test_waits() -> None:
    found = {source.name: lines for source in sources(ROOT / "tests") if (lines := waits(source))}
    assert [name for name in found if not name.startswith(MAY_WAIT)] == [], found


@pytest.mark.parametrize("line", ["time.sleep(1)", "await asyncio.sleep(0.01)", "sleep(x)", "await anyio.sleep(1)"])
def test_a_wait_is_noticed(line: str) -> None:
    assert waits(Source("flow/test_x.py", f"async def f():\n    {line}")) == [2]


def test_letting_others_go_first_is_no_wait() -> None:
    assert waits(Source("flow/test_x.py", "async def f():\n    await asyncio.sleep(0)")) == []
