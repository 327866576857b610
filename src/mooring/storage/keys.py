"""Names of objects: what a key may be, and how a person's file name becomes a harmless part of one."""

import re
import unicodedata

LONGEST_KEY = 1024  # bytes of UTF-8, as S3 has it
LONGEST_NAME = 100
LONGEST_EXTENSION = 20  # with its dot; what is longer is no extension but a name with a dot in it

_ORDINARY = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)  # as most are: photos/<uuid>_IMG_1234.jpg
_EMPTY_OR_DOTS = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)")
_HARMLESS = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]{0,79}\.[A-Za-z0-9]{1,19}")  # as most are: IMG_1234.jpg
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_key(key: str) -> None:
    """`ValueError` unless every storage can hold an object of this name."""
    if _ORDINARY.fullmatch(key) and len(key) <= LONGEST_KEY:
        return
    size = len(key.encode())  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
    if not 1 <= size <= LONGEST_KEY:
        raise ValueError(f"A key has 1 to {LONGEST_KEY} bytes; this one has {size}.")
    if _EMPTY_OR_DOTS.search(key):
        raise ValueError(f"A key has no empty, '.' or '..' segments: {key!r}.")
    if _CONTROL.search(key):
        raise ValueError(f"A key has no control characters: {key!r}.")


def safe_name(filename: str) -> str:
    """The last segment of `filename`, of letters, digits, dots, dashes and underscores only: never empty,
    never hidden, at most 100 bytes, its extension kept. What the person wrote belongs in the database."""
    if _HARMLESS.fullmatch(filename):
        return filename
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", filename)[-1])
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in last)
    if not kept or kept.startswith("."):
        kept = "_" + kept
    stem, dot, extension = kept.rpartition(".")
    ending = dot + extension
    if not stem or len(ending.encode()) > LONGEST_EXTENSION:
        stem, ending = kept, ""
    return _cut(stem, LONGEST_NAME - len(ending.encode())) + ending


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")  # half a character at the end is dropped
