"""Multipart uploads of S3."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from mooring.errors import ObjectChanged, ObjectNotFound
from mooring.storage import s3_xml as xml
from mooring.storage.keys import check_key
from mooring.storage.parts import check_part, exactly, parts_to_join
from mooring.storage.port import Found, OpenMultipart, Part
from mooring.storage.s3_calls import Answer, Calls
from mooring.storage.s3_headers import size_of

_NOT_THE_CALLERS = frozenset({"EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest", "MalformedXML"})


@dataclass(frozen=True, slots=True)
class S3Multiparts:
    calls: Calls

    async def begin(self, key: str, *, content_type: str) -> str:
        check_key(key)
        answer = await self.calls.ask("POST", key, query={"uploads": ""}, headers={"Content-Type": content_type})
        return xml.text(xml.read(answer.body), "UploadId")

    async def put(self, key: str, multipart_id: str, number: int, body: bytes) -> Part:
        query = {"partNumber": str(number), "uploadId": multipart_id}
        answer = await self.calls.ask("PUT", key, query=query, body=body)
        return Part(number, len(body), answer.etag)

    async def stream(
        self, key: str, multipart_id: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        """As it comes, and so only once."""
        check_part(number, length)
        if not _is_id(multipart_id):
            raise ObjectNotFound(key)
        query = {"partNumber": str(number), "uploadId": multipart_id}
        answer = await self.calls.send(key, exactly(chunks, length), length=length, good=(200, 404), query=query)
        if answer.status == 404:
            raise ObjectNotFound(key)
        return Part(number, length, answer.etag)

    async def copy(self, key: str, multipart_id: str, number: int, *, source: Mapping[str, str], piece: range) -> Part:
        """A part out of another object, which `source` names in headers."""
        query = {"partNumber": str(number), "uploadId": multipart_id}
        headers = {**source, "x-amz-copy-source-range": f"bytes={piece.start}-{piece.stop - 1}"}
        answer = await self.calls.ask("PUT", key, query=query, headers=headers)
        root = succeeded(answer, f"copy to part {number} of {key}")
        return Part(number, len(piece), xml.text(root, "ETag").strip('"'))

    async def parts(self, key: str, multipart_id: str) -> Sequence[Part] | None:
        check_key(key)
        if not _is_id(multipart_id):
            return None
        query = {"uploadId": multipart_id}
        parts: list[Part] = []
        while True:
            answer = await self.calls.ask("GET", key, query=query, good=(200, 404))
            if answer.status == 404:
                return None
            page = xml.read(answer.body)
            parts.extend(_parts_on(page))
            if page.findtext("IsTruncated") != "true":
                break
            query["part-number-marker"] = xml.text(page, "NextPartNumberMarker")
        return None if parts and await self._was_joined(key, multipart_id) else parts

    async def _was_joined(self, key: str, multipart_id: str) -> bool:
        """Swift lists an upload's parts for as long as there is the object that they became."""
        joined = await self.calls.ask("HEAD", key, good=(200, 404))
        if joined.status == 404:
            return False
        return multipart_id not in [each.multipart_id async for each in self.all(key) if each.key == key]

    async def complete(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        there = await self.parts(key, multipart_id)
        if there is None:
            raise ObjectNotFound(key)
        return await self.join(key, multipart_id, parts_to_join(parts, there))

    async def join(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        """Parts that are known to be there, in order."""
        listed = (xml.new("Part", ("PartNumber", part.number), ("ETag", f'"{part.etag}"')) for part in parts)
        body = xml.write(xml.new("CompleteMultipartUpload", *listed))
        answer = await self.calls.ask(
            "POST",
            key,
            good=(200, 400, 404),
            query={"uploadId": multipart_id},
            headers={"Content-Type": "application/xml"},
            body=body,
        )
        if answer.code in _NOT_THE_CALLERS:
            raise ValueError(f"Storage does not join these parts: {answer.code}.")
        is_gone = answer.code == "NoSuchUpload"  # a moment ago it was there: joined by a try whose answer was lost?
        if not is_gone:
            succeeded(answer, f"complete {key}")
        joined = await self.calls.ask("HEAD", key, good=(200, 404))  # Ceph 16 itself answers without an ETag
        size = sum(part.size for part in parts)
        is_ours = joined.status == 200 and size_of(joined) == size and joined.etag.endswith(f"-{len(parts)}")
        if joined.status == 404 or (is_gone and not is_ours):
            raise ObjectNotFound(key)
        return Found(size_of(joined), joined.etag)

    async def abort(self, key: str, multipart_id: str) -> None:
        check_key(key)
        if _is_id(multipart_id):
            await self.calls.ask("DELETE", key, good=(200, 204, 404), query={"uploadId": multipart_id})

    async def all(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        # Not URL-encoded, unlike lists of objects: Ceph 16 would do so and not say it.
        query = {"uploads": "", "prefix": prefix}
        while True:
            page = xml.read((await self.calls.ask("GET", query=query)).body)
            for upload in page.findall("Upload"):
                begun_at = datetime.fromisoformat(xml.text(upload, "Initiated"))
                yield OpenMultipart(xml.text(upload, "Key"), xml.text(upload, "UploadId"), begun_at)
            if page.findtext("IsTruncated") != "true":
                return
            query["key-marker"] = xml.text(page, "NextKeyMarker")
            query["upload-id-marker"] = xml.text(page, "NextUploadIdMarker")


def _is_id(multipart_id: str) -> bool:
    """No storage gives out another, and an empty one could make "abort the upload" a "delete the object"."""
    return bool(multipart_id) and multipart_id.isascii() and multipart_id.isprintable()


def refuse_broken(answer: Answer, key: str) -> None:
    """Swift takes a part again even of what is joined, and then the object is no longer what it was."""
    if answer.status != 409:
        return
    if answer.code == "BrokenMPU":
        raise ObjectChanged(key)
    raise answer.unusable(f"GET {key}")


def succeeded(answer: Answer, asked: str) -> Element:
    """Of calls that take long S3 says 200 at once, and only in the body what became of it."""
    if answer.status != 200:
        raise answer.unusable(asked)
    root = xml.read(answer.body)
    if root.tag == "Error":
        raise answer.unusable(asked)
    return root


def _parts_on(page: Element) -> Iterator[Part]:
    for part in page.findall("Part"):
        yield Part(int(xml.text(part, "PartNumber")), int(xml.text(part, "Size")), xml.text(part, "ETag").strip('"'))
