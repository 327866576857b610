"""The disk store's temporary URLs: written and read back, no I/O. What a URL allows stands in its query; the
signature covers the method, the key and every one of those parameters."""

import hashlib
import hmac
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode

from mooring.errors import UrlNotValid
from mooring.storage.keys import check_key
from mooring.storage.parts import check_part
from mooring.storage.port import Signed

Method = Literal["PUT", "GET"]  # a URL for GET serves HEAD as well


@dataclass(frozen=True, slots=True)
class PutTerms:
    """What one PUT must bring."""

    length: int
    content_type: str | None
    sha256: str | None
    write_once: bool
    multipart_id: str | None
    part: int

    def check_headers(self, *, content_type: str | None, length: int | None) -> None:
        """Refuses before a byte of the body is read. A chunked body has no Content-Length: it is counted."""
        if self.content_type is not None and content_type != self.content_type:
            raise UrlNotValid(f"This URL is for the Content-Type {self.content_type!r}, not {content_type!r}.")
        if length is not None and length != self.length:
            raise UrlNotValid(f"This URL is for exactly {self.length} bytes, not {length}.")

    async def exactly(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, as long as they are what was signed for."""
        came = 0
        async for chunk in chunks:
            came += len(chunk)
            if came > self.length:
                raise UrlNotValid(f"This URL is for exactly {self.length} bytes; more than that came.")
            yield chunk
        if came < self.length:
            raise UrlNotValid(f"This URL is for exactly {self.length} bytes; only {came} came.")


@dataclass(frozen=True, slots=True)
class Shown:
    """A file to serve, and how."""

    path: Path
    facts: os.stat_result
    etag: str
    filename: str | None
    content_type: str


@dataclass(frozen=True, slots=True)
class DiskUrls:
    secret: bytes
    public_url: str

    def put(
        self,
        key: str,
        *,
        content_type: str,
        length: int,
        at: datetime,
        lapses_in: timedelta,
        sha256: str | None,
        write_once: bool,
    ) -> Signed:
        if length < 0:
            raise ValueError(f"A length is not negative: {length}.")
        if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            raise ValueError(f"A SHA-256 is 64 hex digits: {sha256!r}.")
        terms = {"expires": _lapse(at, lapses_in), "type": _header(content_type), "length": str(length)}
        if sha256 is not None:
            terms["sha256"] = sha256.lower()
        if write_once:
            terms["once"] = "1"
        return Signed(self._url("PUT", key, terms), {"Content-Type": content_type})

    def part(
        self, key: str, multipart_id: str, number: int, *, length: int, at: datetime, lapses_in: timedelta
    ) -> Signed:
        check_part(number, length)
        terms = {
            "expires": _lapse(at, lapses_in),
            "length": str(length),
            "upload": multipart_id,
            "part": str(number),
        }
        return Signed(self._url("PUT", key, terms), {})

    def get(
        self, key: str, *, at: datetime, lapses_in: timedelta, filename: str | None, content_type: str | None
    ) -> str:
        terms = {"expires": _lapse(at, lapses_in)}
        if filename is not None:
            terms["filename"] = filename.encode(errors="replace").decode()
        if content_type is not None:
            terms["type"] = _header(content_type)
        return self._url("GET", key, terms)

    def read_put(self, key: str, query: str, *, at: datetime) -> PutTerms:
        terms = self._verified("PUT", key, query, at)
        return PutTerms(
            length=int(terms["length"]),
            content_type=terms.get("type"),
            sha256=terms.get("sha256"),
            write_once="once" in terms,
            multipart_id=terms.get("upload"),
            part=int(terms.get("part", 0)),
        )

    def read_get(self, key: str, query: str, *, at: datetime) -> Mapping[str, str]:
        return self._verified("GET", key, query, at)

    def _url(self, method: Method, key: str, terms: dict[str, str]) -> str:
        check_key(key)
        query = _written(terms.items())
        where = f"{self.public_url.rstrip('/')}/storage/{quote(key)}"
        return f"{where}?{query}&signature={self._signature(method, key, query)}"

    def _signature(self, method: Method, key: str, query: str) -> str:
        # Named, since the same secret signs access tokens. Neither key nor quoted query holds a line break.
        signed = f"mooring disk url\n{method}\n{key}\n{query}"
        return hmac.new(self.secret, signed.encode(), hashlib.sha256).hexdigest()

    def _verified(self, method: Method, key: str, query: str, at: datetime) -> dict[str, str]:
        pairs = parse_qsl(query, keep_blank_values=True)
        signatures = [value for name, value in pairs if name == "signature"]
        signed = _written((name, value) for name, value in pairs if name != "signature")
        expected = self._signature(method, key, signed)
        if len(signatures) != 1 or not hmac.compare_digest(signatures[0].encode(), expected.encode()):
            raise UrlNotValid(f"This URL was not issued here for {method}, or it was altered: its signature is wrong.")
        terms = dict(pairs)
        lapsed_at = datetime.fromtimestamp(int(terms["expires"]), UTC)
        if at > lapsed_at:
            raise UrlNotValid(f"This URL lapsed at {lapsed_at.isoformat()}. Ask for a new one.")
        return terms


def _written(terms: Iterable[tuple[str, str]]) -> str:
    return urlencode(sorted(terms), quote_via=quote)


def _lapse(at: datetime, lapses_in: timedelta) -> str:
    return str(-int(-(at + lapses_in).timestamp() // 1))  # the next whole second: never earlier than was promised


def _header(content_type: str) -> str:
    if not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"No header can say this content type: {content_type!r}.")
    return content_type
