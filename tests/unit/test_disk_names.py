from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.storage import disk_names
from mooring.storage.disk_names import folder_of_prefix, relative_path, walk

# Everything the mapping treats in its own way, and what sorts around it.
SEGMENTS = st.sampled_from(
    [
        "a",
        "b",
        "a-b",
        "a!",
        "a0",
        "%",
        "%25",
        "a%",
        "a%+",
        "%2E",
        "...",
        "가",
        "x" * 239,
        "x" * 240,
        "x" * 241,
    ]
    + ["x" * 240 + tail for tail in (".", "..", "!", "/y", "%", "z" * 241)]
    + ["가" * 80, "가" * 81, "%" * 80, "%" * 81]
)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join).filter(lambda key: len(key.encode()) <= 1024)


def keys_below(objects: Path, prefix: str = "") -> list[str]:
    folder = folder_of_prefix(prefix)
    return [] if folder is None else [place.key for place in walk(objects / folder, prefix)]


def put(objects: Path, key: str) -> Path:
    path = objects / relative_path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("photos/2f6c_sea.jpg", "photos%/2f6c_sea.jpg"),
        ("a", "a"),
        ("50%/a%25", "50%25%/a%2525"),
        ("사진/바다.jpg", "사진%/바다.jpg"),
        ("x" * 240 + "..", "x" * 240 + "%+/%2E%2E"),
    ],
)
def test_a_key_is_a_readable_path(key: str, path: str) -> None:
    assert str(relative_path(key)) == path


@given(st.lists(KEYS, max_size=20), KEYS, st.integers(0, 700))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_keys_live_side_by_side_and_are_listed_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], other: str, cut: int
) -> None:
    objects = tmp_path_factory.mktemp("objects")
    paths = {put(objects, key) for key in keys}
    assert len(paths) == len(set(keys))
    assert all(len(part.encode()) <= 255 for path in paths for part in path.parts)
    for prefix in ("", other[:cut], *(key[:cut] for key in keys[:2])):
        expected = sorted((key for key in set(keys) if key.startswith(prefix)), key=str.encode)
        assert keys_below(objects, prefix) == expected


def test_a_large_folder_is_read_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_names, "_AT_ONCE", 7)
    keys = sorted(f"{number * 7919 % 1000:03d}" for number in range(50))
    for key in keys:
        put(tmp_path, key)
    put(tmp_path, f"{keys[20]}/below")
    assert keys_below(tmp_path) == sorted([*keys, f"{keys[20]}/below"])


def test_what_others_put_there_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "ours")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "50%.jpg").touch()
    (tmp_path / "line\nbreak").touch()
    Path(f"{tmp_path}/not \udcff text").touch()
    (tmp_path / "link").symlink_to("ours")
    (tmp_path / "up%").symlink_to("..")
    assert keys_below(tmp_path) == ["ours"]


@pytest.mark.parametrize("prefix", ["/", "//", "../", "a/../", "a//b", "./", "a\0/"])
def test_no_key_begins_with_what_no_key_may_have(tmp_path: Path, prefix: str) -> None:
    put(tmp_path, "a/b")
    assert keys_below(tmp_path / "a%", prefix) == []
