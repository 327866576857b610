"""What Uppy's S3 plugin asks of its Companion, and the capability that it has instead of a header of its own."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response

from mooring.library.capabilities import LONGEST_LIFE
from mooring.library.uppy_door import Door, Told
from mooring.uploads.lifecycle import Upload
from mooring.uploads.multipart import LARGEST_PART
from mooring.web.callers import SignedIn
from mooring.web.edge import header
from mooring.web.forms import FileForm
from mooring.web.shapes import BIGGEST, Asked, Id, InDigits, PathId, Text, read_form, refusal, reply
from mooring.web.video_shapes import ProjectId

router = APIRouter(prefix="/uppy", tags=["uppy"])

ContentType = Annotated[str, StringConstraints(max_length=100, to_lower=True)]
Number = Annotated[int, Path(ge=1, le=10_000), InDigits]
Key = Annotated[str, Query(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]
Size = Annotated[int, Field(ge=0, le=BIGGEST)] | Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]


_FILE = re.compile(r"/uppy/[^/]+/s3/(form|multipart/[0-9]+/[0-9]+)")


def is_file(path: str) -> bool:
    """Its body is a file, or a part of one."""
    return path.startswith("/uppy/") and _FILE.fullmatch(path) is not None


class NewCapability(Asked):
    kind: Literal["photo", "recording", "video"]
    album_id: Id | None = Field(None, description="Of photos, and they need one: where they go")
    project_id: ProjectId | None = Field(None, description="Of videos: what your application calls their project")
    expires_in: Annotated[int, Field(ge=1, le=int(LONGEST_LIFE.total_seconds()))] | None = Field(
        None, description="Seconds from now; without it `MOORING_UPPY_CAPABILITY_SECONDS`"
    )

    @model_validator(mode="after")
    def _has_its_target(self) -> "NewCapability":
        if (self.kind == "photo") != (self.album_id is not None):
            raise ValueError("Photos go into an album, and nothing else does: give album_id for them")
        if self.kind != "video" and self.project_id is not None:
            raise ValueError("Only videos have a project")
        return self

    @property
    def target(self) -> int | str | None:
        return self.album_id if self.kind == "photo" else self.project_id


class Capability(BaseModel):
    capability: str
    url: str = Field(description="Uppy's option `endpoint` (version 5) or `companionEndpoint` (version 6)")
    expires_at: datetime


class Sizes(BaseModel):
    """Of Uppy's metadata only what concerns us: whatever else a page keeps there is its own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file_size: Size | None = Field(None, description="Bytes of the file: known, they go straight to storage")
    part_size: Size | None = Field(None, description="What the option `getChunkSize` answers, where a page sets it")

    @field_validator("part_size")
    @classmethod
    def _is_of_a_part(cls, value: int | str | None) -> int | str | None:
        if value and int(value) > LARGEST_PART:
            raise ValueError(f"A part has at most {LARGEST_PART} bytes")
        return value

    def told(self, filename: str, content_type: str) -> Told:
        return Told(filename, content_type, int(self.file_size or 0) or None, int(self.part_size or 0) or None)


class NewMultipart(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    filename: Text
    type: ContentType
    metadata: Sizes = Sizes()


class FormFields(BaseModel):
    """Those that `params` answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Text
    filename: Text
    type: Annotated[ContentType, Field(alias="content-type")]


class SentPart(BaseModel):
    PartNumber: Annotated[int, Field(ge=1, le=10_000)]
    ETag: Annotated[str, StringConstraints(max_length=200)]


class SentParts(BaseModel):
    parts: Annotated[list[SentPart], Field(min_length=1, max_length=10_000)]

    @property
    def named(self) -> dict[int, str]:
        return {part.PartNumber: part.ETag.strip('"') for part in self.parts}


class Params(BaseModel):
    method: Literal["PUT", "POST"]
    url: str
    fields: dict[str, str]
    headers: dict[str, str]


class Multipart(BaseModel):
    key: str
    uploadId: str


class PartParams(BaseModel):
    url: str
    expires: int = Field(description="Seconds; Uppy 5 gives up a part that takes longer")


class StoredPart(BaseModel):
    PartNumber: int
    ETag: str
    Size: int


class Taken(BaseModel):
    """What became of a file. `location` is where its state can be asked for, by whoever is signed in."""

    location: str
    key: str
    upload_id: int
    kind: str
    state: str


class Nothing(BaseModel):
    pass


async def _opened(request: Request, capability: str) -> Door:
    door: Door = await request.app.state.house.uppy.admit(capability)
    return door


Opened = Annotated[Door, Depends(_opened)]


@router.post("/capabilities", status_code=201)
async def create_capability(request: Request, caller: SignedIn, asked: NewCapability) -> Capability:
    """An address that a client may upload to for a while, without signing in: files of one kind, to one place."""
    house = request.app.state.house
    life = timedelta(seconds=asked.expires_in or house.settings.uppy_capability_seconds)
    text, granted = await house.uppy.grant(asked.kind, user_id=caller.user_id, target=asked.target, life=life)
    return Capability(capability=text, url=house.uppy.url(text), expires_at=granted.expires_at)


# ── in one go ──


@router.get("/{capability}/s3/params")
async def uppy_params(
    request: Request,
    door: Opened,
    filename: Annotated[str, Query(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")],
    type: Annotated[str, Query(max_length=100)],
    file_size: Annotated[int | None, Query(alias="metadata[file_size]", ge=0, le=BIGGEST), InDigits] = None,
) -> Params:
    """How to send a file in one go. Uppy 5 is told to PUT it straight to storage, where it tells the size; else, and
    version 6 always, to POST it here in a form."""
    told = Told(filename, type.lower(), file_size or None)
    # Uppy 5 asks for JSON by name, and does what `method` says. Uppy 6 asks for anything, and POSTs whatever it says.
    ticket = await door.ticket(told, takes_put=header(request.scope, b"accept") == b"application/json")
    fields = {"key": ticket.key}
    if ticket.method == "POST":
        fields |= {"filename": filename, "content-type": told.content_type}
    return Params(method=ticket.method, url=ticket.url, fields=fields, headers=dict(ticket.headers))


FORM = {
    "type": "object",
    "required": ["key", "filename", "content-type", "file"],
    "properties": {
        "key": {"type": "string"},
        "filename": {"type": "string"},
        "content-type": {"type": "string"},
        "file": {"type": "string", "format": "binary", "description": "Behind the fields that `params` answered"},
    },
}
FORM_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}


@router.post("/{capability}/s3/form", status_code=201, response_model=Taken, openapi_extra=FORM_BODY)
async def uppy_form(request: Request, door: Opened) -> Response:
    """The form that `params` speaks of. The file is streamed through to storage."""
    form = await FileForm.of(request)
    said = read_form(form.before, FormFields)
    told = Told(said.filename, said.type)
    upload = await door.receive(told, said.key, _all_of(form), at_least=form.at_least)
    return _received(request, upload)


@router.post("/{capability}/s3/arrivals")
async def uppy_arrival(request: Request, door: Opened, key: Key) -> Taken:
    """Uppy itself says nothing when a file is up: a page may, in its `upload-success`. Without that an event or the
    sweep tells. May be repeated."""
    return _taken(request, await door.arrived(key))


# ── in parts ──


@router.post("/{capability}/s3/multipart")
async def uppy_multipart(door: Opened, asked: NewMultipart) -> Multipart:
    """Begin a file in parts."""
    upload = await door.begin(asked.metadata.told(asked.filename, asked.type))
    return Multipart(key=upload.object_key, uploadId=str(upload.id))


@router.get("/{capability}/s3/multipart/{upload_id}")
async def uppy_parts(door: Opened, upload_id: PathId, key: Key) -> list[StoredPart]:
    """The parts that are in storage."""
    parts = await door.sent(upload_id, key)
    return [StoredPart(PartNumber=part.number, ETag=f'"{part.etag}"', Size=part.size) for part in parts]


@router.get("/{capability}/s3/multipart/{upload_id}/{number}")
async def uppy_part(door: Opened, upload_id: PathId, number: Number, key: Key) -> PartParams:
    """Where to PUT one part: straight to storage, or here, where nobody told how large the file is."""
    part = await door.sign(upload_id, key, number)
    return PartParams(url=part.url, expires=int(part.lapses_in.total_seconds()))


@router.put(
    "/{capability}/s3/multipart/{upload_id}/{number}",
    response_class=Response,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def uppy_put_part(request: Request, door: Opened, upload_id: PathId, number: Number, key: Key) -> Response:
    """One part of a file whose size nobody told, streamed through to storage and counted."""
    part = await door.receive_part(upload_id, key, number, request.stream(), length=_length(request))
    return Response(headers={"ETag": f'"{part.etag}"'})


@router.post("/{capability}/s3/multipart/{upload_id}/complete")
async def uppy_complete(request: Request, door: Opened, upload_id: PathId, key: Key, asked: SentParts) -> Taken:
    """All parts are up: have them joined, and looked at. May be repeated."""
    return _taken(request, await door.complete(upload_id, key, asked.named))


@router.delete("/{capability}/s3/multipart/{upload_id}")
async def uppy_abort(door: Opened, upload_id: PathId, key: Key) -> Nothing:
    """Forget it, unless it has arrived."""
    await door.abort(upload_id, key)
    return Nothing()


async def _all_of(form: FileForm) -> AsyncIterator[bytes]:
    """Its file, which is only whole when the form is."""
    is_empty = True
    async for piece in form.pieces():
        is_empty = False
        yield piece
    await form.rest()
    if is_empty:
        raise refusal("file", "A file has at least one byte.")


def _length(request: Request) -> int:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or not 0 < int(length) <= BIGGEST:
        raise refusal("Content-Length", "A part says how many bytes it has, and has at least one.")
    return int(length)


def _taken(request: Request, upload: Upload) -> Taken:
    location = f"{request.app.state.house.uppy.public_url}/uploads/{upload.id}"
    return Taken(location=location, key=upload.object_key, upload_id=upload.id, kind=upload.kind, state=upload.state)


def _received(request: Request, upload: Upload) -> Response:
    taken = _taken(request, upload)
    answer = reply(taken, 201)
    answer.raw_headers += [(b"etag", f'"{upload.etag}"'.encode()), (b"location", taken.location.encode())]
    return answer
