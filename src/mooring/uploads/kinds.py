"""The kinds of upload as values: where their objects go, what they may be, how large."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from mooring.errors import FileTooLarge, TypeNotAllowed


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    directory: str
    content_types: AbstractSet[str]
    max_bytes: int

    def check(self, *, content_type: str, file_size: int) -> None:
        """In guide 001 §8's order: too large first, then the type."""
        if file_size > self.max_bytes:
            raise FileTooLarge(self.name, file_size, self.max_bytes)
        if content_type not in self.content_types:
            raise TypeNotAllowed(self.name, content_type, self.content_types)


PHOTO_TYPES = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/gif",
        "image/heic",
        "image/heif",
        "image/avif",
        "image/tiff",
    }
)


def photo(max_bytes: int) -> Kind:
    return Kind("photo", "photos", PHOTO_TYPES, max_bytes)
