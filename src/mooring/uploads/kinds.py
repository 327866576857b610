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
    # Whether a type may carry parameters, as in `audio/webm;codecs=opus`: browsers name their recordings so.
    takes_parameters: bool = False

    def check(self, *, content_type: str, file_size: int) -> None:
        """In guide 001 §8's order: too large first, then the type."""
        if file_size > self.max_bytes:
            raise FileTooLarge(self.name, file_size, self.max_bytes)
        essence = content_type.partition(";")[0].strip().lower() if self.takes_parameters else content_type
        if essence not in self.content_types:
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


RECORDING_TYPES = frozenset(
    {
        "audio/mpeg",
        "audio/mp3",
        "audio/mp4",
        "audio/m4a",
        "audio/x-m4a",
        "audio/aac",
        "audio/wav",
        "audio/x-wav",
        "audio/wave",
        "audio/flac",
        "audio/x-flac",
        "audio/ogg",
        "audio/webm",
    }
)
VIDEO_TYPES = frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska"})


def photo(max_bytes: int) -> Kind:
    return Kind("photo", "photos", PHOTO_TYPES, max_bytes)


def recording(max_bytes: int) -> Kind:
    return Kind("recording", "recordings", RECORDING_TYPES, max_bytes, takes_parameters=True)


def video(max_bytes: int) -> Kind:
    return Kind("video", "videos", VIDEO_TYPES, max_bytes, takes_parameters=True)
