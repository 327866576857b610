import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.storage.keys import check_key, safe_name

SEGMENTS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=40
).filter(lambda segment: segment not in (".", ".."))


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a/b",
        "사진/바다 + 하늘.jpg",
        "100%.jpg",
        "a%2Fb",
        ".hidden",
        "a/...",
        "..a",
        "a../b",
        "x" * 1024,
        "가" * 341,
    ],
)
def test_ordinary_keys_are_accepted(key: str) -> None:
    check_key(key)


@given(st.lists(SEGMENTS, min_size=1, max_size=6))
def test_segments_joined_by_slashes_are_a_key(segments: list[str]) -> None:
    check_key("/".join(segments))


@pytest.mark.parametrize("key", ["", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "../a", "a/..", "x" * 1025])
def test_keys_that_could_be_read_as_a_path_elsewhere_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        check_key(key)


@pytest.mark.parametrize("letter", ["\0", "\n", "\r", "\x1b", "\x7f", "\x85", "\ud800"])
def test_control_characters_and_halves_of_characters_are_refused(letter: str) -> None:
    with pytest.raises(ValueError, match=r"control|surrogates"):
        check_key(f"a/{letter}b")


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("IMG_0001.JPG", "IMG_0001.JPG"),
        ("바다 사진.jpg", "바다_사진.jpg"),
        (unicodedata.normalize("NFD", "바다.jpg"), "바다.jpg"),
        ("../../etc/passwd", "passwd"),
        (r"C:\photos\me.png", "me.png"),
        ('a"b\r\nc.jpg', "a_b__c.jpg"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        (".bashrc", "_.bashrc"),
        ("", "_"),
        ("photos/", "_"),
        ("x" * 300 + ".jpeg", "x" * 95 + ".jpeg"),
        ("가" * 100 + ".heic", "가" * 31 + ".heic"),
        ("a." + "x" * 300, "a." + "x" * 98),
    ],
)
def test_a_file_name_becomes_harmless_and_stays_readable(filename: str, name: str) -> None:
    assert safe_name(filename) == name


@given(st.text(max_size=400) | st.text("가é/\\.\u202e\ud800\0_-x", max_size=400))
@example("/.")
def test_a_safe_name_keeps_every_promise_whatever_comes(filename: str) -> None:
    name = safe_name(filename)
    assert 1 <= len(name.encode()) <= 100
    assert not name.startswith(".")
    assert all(letter.isalnum() or letter in "._-" for letter in name)
    assert unicodedata.is_normalized("NFC", name)
    assert safe_name(name) == name
    check_key(f"photos/{name}")


@given(st.text(min_size=1, max_size=300), st.from_regex(r"[a-zA-Z0-9가-힣]{1,6}", fullmatch=True))
def test_the_extension_is_kept(stem: str, extension: str) -> None:
    assert safe_name(f"{stem}.{extension}").endswith(f".{extension}")
