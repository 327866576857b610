"""A form with a file, read as it comes: the small fields are kept, the file is handed on in pieces and never held.

Starlette's own reader puts a file on the disk first and hands it out when the last byte is here."""

import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from mooring.web.edge import header
from mooring.web.shapes import form_type, refusal

MOST_BESIDES = 64 * 2**10  # bytes of a form that are not its file: fields, headers, boundaries


class FileForm:
    """`await FileForm.of(request)` reads up to the file; then come `pieces`, and `rest` for the fields behind it."""

    def __init__(self, stream: AsyncIterator[bytes], boundary: bytes, *, hashing: bool, length: int | None) -> None:
        self.fields: dict[str, str] = {}
        self.before: dict[str, str] = {}  # the fields before the file, however much of the form has come
        self.filename: str | None = None  # known as soon as the file begins
        self.at_least = max(1, (length or 0) - MOST_BESIDES)  # bytes of the file
        self._stream = stream
        self._hash = hashlib.sha256() if hashing else None
        self._pieces: deque[bytes] = deque()
        self._besides = 0
        self._is_file_over = False
        self._is_over = False
        self._part: dict[bytes, bytes] = {}
        self._header = [bytearray(), bytearray()]
        self._field: tuple[str, bytearray] | None = None  # the field that is being read; None in the file
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part.clear,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._keep_header,
                "on_headers_finished": self._begin_part,
                "on_part_data": self._take,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    @classmethod
    async def of(cls, request: Request) -> "FileForm":
        media, options = form_type(request)
        if media != "multipart/form-data" or not options.get(b"boundary"):
            raise refusal("body", "Send a form: multipart/form-data with a boundary, and in it the field 'file'.")
        length = header(request.scope, b"content-length") or b""
        try:
            form = cls(
                request.stream(),
                options[b"boundary"],
                hashing=header(request.scope, b"idempotency-key") is not None,
                length=int(length) if length.isdigit() else None,
            )
        except FormParserError as wrong:  # of the boundary
            raise refusal("body", str(wrong)) from None
        while form.filename is None:
            await form._read_more()
        return form

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                if self._hash is not None:
                    self._hash.update(piece)
                yield piece
            if self._is_file_over:
                return
            await self._read_more()

    async def rest(self) -> dict[str, str]:
        """All fields, those behind the file too."""
        while not self._is_over:
            await self._read_more()
        return self.fields

    def fingerprint(self, *more: object) -> bytes:
        """What was sent, for an Idempotency-Key: not the bytes of the form, whose boundary changes with every try."""
        digest = self._hash.hexdigest() if self._hash else ""
        return json.dumps([*more, self.filename, sorted(self.fields.items()), digest]).encode()

    async def _read_more(self) -> None:
        chunk = await anext(self._stream, b"")
        if not chunk:
            raise refusal("body", "The form ends too early: its file, or the boundary that closes it, is missing.")
        self._besides += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as wrong:
            raise refusal("body", f"The form can't be read: {wrong}") from None
        if self._besides > MOST_BESIDES:
            raise refusal("body", f"Beside its file a form may have at most {MOST_BESIDES} bytes.")

    # ── what the parser finds ──

    def _keep_header(self) -> None:
        name, value = self._header
        self._part[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def _begin_part(self) -> None:
        _, options = parse_options_header(self._part.get(b"content-disposition"))
        name = _text("body", options.get(b"name", b""))
        if name in self.fields or (name == "file" and self.filename is not None):
            raise refusal(name, "This field is there twice.")
        if name != "file":
            self._field = (name, bytearray())
            return
        self._field = None
        self.before = dict(self.fields)
        self.filename = _text("file", options.get(b"filename", b""))
        if not 1 <= len(self.filename) <= 1024 or "\0" in self.filename:
            raise refusal("file", "A file has a name of 1 to 1024 characters.")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._field[1].extend(data[start:end])
            return
        self._besides -= end - start
        self._pieces.append(data[start:end])

    def _end_part(self) -> None:
        if self._field is None:
            self._is_file_over = True
            return
        name, value = self._field
        self.fields[name] = _text(name, bytes(value))

    def _end(self) -> None:
        self._is_over = True


def _text(field: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise refusal(field, "This is no UTF-8.") from None
