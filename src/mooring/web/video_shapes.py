"""What videos are in JSON: guide 004's fields, in camelCase."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from mooring.accounts.callers import Caller
from mooring.library.videos import ORIGINAL, Ticket, Video, Videos
from mooring.uploads.in_parts import MOST_URLS, PartUrl, Plan, Sent, cut_of
from mooring.uploads.lifecycle import Upload
from mooring.uploads.multipart import MOST_PARTS
from mooring.web.shapes import BIGGEST, AskedInCamelCase, InCamelCase, NewFile

MOST_METADATA = 16 * 1024  # bytes of JSON
DEEPEST = 8  # objects and lists in one another


def _modest(metadata: dict[str, Any]) -> dict[str, Any]:
    """What PostgreSQL's jsonb can keep, and not much of it."""
    if _is_deeper(metadata, DEEPEST):
        raise ValueError(f"objects and lists in it may be at most {DEEPEST} deep")
    try:
        written = json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise ValueError("it has a number or a character that JSON does not know") from None
    if len(written) > MOST_METADATA:
        raise ValueError(f"it may have at most {MOST_METADATA} bytes as JSON; it has {len(written)}")
    if b"\\u0000" in written:
        raise ValueError("it has a character that can't be kept: NUL")
    return metadata


def _is_deeper(value: object, most: int) -> bool:
    """Looks no further down than that: how deep a client goes is not how deep we go."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deeper(one, most - 1) for one in inner)


def _once_each(numbers: Sequence[int]) -> Sequence[int]:
    if len(set(numbers)) < len(numbers):
        raise ValueError("a number is there twice")
    return numbers


ProjectId = (
    Annotated[int, Field(ge=-BIGGEST, le=BIGGEST)]
    | Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
)
Metadata = Annotated[dict[str, Any], AfterValidator(_modest)]
PartNumber = Annotated[int, Field(ge=1, le=MOST_PARTS)]


class NewVideo(NewFile, AskedInCamelCase):
    project_id: ProjectId | None = Field(None, description="What your application calls it: a number or a text")
    metadata: Metadata = Field({}, description="Kept as it is: at most 16 KiB, at most 8 objects and lists deep")


class BegunVideo(BaseModel):
    video_id: int


class PartUrlOut(InCamelCase):
    number: int
    url: str


class PartPlan(InCamelCase):
    video_id: int
    upload_id: str | None = Field(description="What storage calls the multipart upload")
    part_size: int = Field(description="Bytes of every part but the last, which has what is left")
    part_count: int
    parts: list[PartUrlOut] = Field(description="PUT each part to its URL; no header is needed. Ask for more by number")
    expires_at: datetime = Field(description="When these URLs lapse. Fresh ones put it off")


class IssuedVideo(InCamelCase):
    """Either `uploadUrl` or `parts` is there."""

    video_id: int
    upload_url: str | None = Field(description="For one PUT of the whole file")
    upload_headers: dict[str, str] | None = Field(description="Send these with that PUT, exactly")
    upload_id: str | None
    part_size: int | None
    part_count: int | None
    parts: list[PartUrlOut] | None = Field(description="Of a large file: the first thousand parts, which mostly is all")
    expires_at: datetime


class WantedParts(AskedInCamelCase):
    numbers: (
        Annotated[list[PartNumber], Field(min_length=1, max_length=MOST_URLS), AfterValidator(_once_each)] | None
    ) = Field(None, description="Left out: those that are not in storage, the first thousand of them")


class PartOut(InCamelCase):
    number: int
    size: int
    etag: str


class SentParts(InCamelCase):
    video_id: int
    upload_id: str | None
    part_size: int
    part_count: int
    parts: list[PartOut] = Field(description="Those that are in storage")
    expires_at: datetime


class NamedPart(AskedInCamelCase):
    number: PartNumber
    etag: Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _parts_once_each(parts: Sequence[NamedPart]) -> Sequence[NamedPart]:
    _once_each([part.number for part in parts])
    return parts


class CompleteVideo(AskedInCamelCase):
    parts: (
        Annotated[list[NamedPart], Field(min_length=1, max_length=MOST_PARTS), AfterValidator(_parts_once_each)] | None
    ) = Field(None, description="What you think you sent: held against what is in storage. May be left out")

    def named(self) -> Mapping[int, str] | None:
        return None if self.parts is None else {part.number: part.etag.strip('"') for part in self.parts}


class RenditionOut(InCamelCase):
    name: str
    content_type: str
    width: int
    height: int
    file_size: int
    url: str | None


class VideoOut(InCamelCase):
    video_id: int
    project_id: int | str | None
    filename: str
    content_type: str
    file_size: int
    metadata: dict[str, Any]
    state: str
    progress: int | None = Field(description="Of processing, in percent, where it is known")
    error_message: str | None
    duration_seconds: float | None = Field(description="This and what follows: null until it was processed")
    width: int | None
    height: int | None
    video_codec: str | None
    audio_codec: str | None
    renditions: list[RenditionOut]
    poster_url: str | None
    url: str | None = Field(description="Where the file can be fetched for a while; null until it arrived")
    issued_at: datetime
    expires_at: datetime
    completed_at: datetime | None = Field(description="When its bytes arrived")


class VideoPage(InCamelCase):
    videos: list[VideoOut]
    next_cursor: int | None


class Rendition(StrEnum):
    original = ORIGINAL
    p720 = "720p"
    poster = "poster"


def _plan(upload: Upload) -> dict[str, Any]:
    cut = cut_of(upload)
    return {
        "video_id": upload.id,
        "upload_id": upload.multipart_id,
        "part_size": cut.part_size,
        "part_count": cut.count,
        "expires_at": upload.expires_at,
    }


def _urls(urls: Sequence[PartUrl]) -> list[PartUrlOut]:
    return [PartUrlOut.model_construct(number=number, url=url) for number, url in urls]


def planned(plan: Plan) -> PartPlan:
    return PartPlan(**_plan(plan.upload), parts=_urls(plan.urls))


def sent_so_far(sent: Sent) -> SentParts:
    parts = [PartOut(number=part.number, size=part.size, etag=part.etag) for part in sent.parts]
    return SentParts(**_plan(sent.upload), parts=parts)


def issued(ticket: Ticket) -> IssuedVideo:
    if ticket.put is None:
        return IssuedVideo(**_plan(ticket.upload), upload_url=None, upload_headers=None, parts=_urls(ticket.urls))
    return IssuedVideo(
        video_id=ticket.upload.id,
        upload_url=ticket.put.url,
        upload_headers=dict(ticket.put.headers),
        upload_id=None,
        part_size=None,
        part_count=None,
        parts=None,
        expires_at=ticket.upload.expires_at,
    )


def shown(video: Video, videos: Videos, caller: Caller) -> VideoOut:
    upload, until = video.upload, caller.expires_at
    renditions = [
        RenditionOut(
            name=made.name,
            content_type=made.content_type,
            width=made.width,
            height=made.height,
            file_size=made.size_bytes,
            url=videos.url(video, made.name, until=until),
        )
        for made in video.made
    ]
    return VideoOut(
        video_id=upload.id,
        project_id=upload.project_id,
        filename=upload.original_filename,
        content_type=upload.content_type,
        file_size=upload.file_size,
        metadata=dict(video.metadata),
        state=upload.state,
        progress=upload.progress,
        error_message=upload.error_message,
        duration_seconds=video.duration_seconds,
        width=video.width,
        height=video.height,
        video_codec=video.video_codec,
        audio_codec=video.audio_codec,
        renditions=renditions,
        poster_url=videos.url(video, Rendition.poster, until=until),
        url=videos.url(video, ORIGINAL, until=until),
        issued_at=upload.created_at,
        expires_at=upload.expires_at,
        completed_at=upload.completed_at,
    )
