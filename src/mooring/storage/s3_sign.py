"""Signatures of S3's version 4, in the URL. Every request is signed so, ours as well as those of clients.

By hand (`docs/decisions/0003-s3-calls.md` says why): what is the same for a whole second is made once a second."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING
from urllib.parse import quote

from mooring.storage.s3_bucket import Bucket

if TYPE_CHECKING:
    from hashlib import _Hash

SHORTEST_LIFE = timedelta(seconds=1)
LONGEST_LIFE = timedelta(days=7)  # S3 has no more
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True, slots=True)
class _Second:
    """What all signatures of one second and one life share."""

    query: str  # of the parameters, those that every URL has, up to the names of the signed headers
    to_sign: bytes  # of the string to sign, all but the hash of the request
    inner: "_Hash"  # the two hashes of HMAC, the key in them already: a signature copies them
    outer: "_Hash"

    def sign(self, request: str) -> str:
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(self.to_sign + sha256(request.encode()).hexdigest().encode())
        outer.update(inner.digest())
        return outer.hexdigest()


class Signer:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._origin = bucket.origin
        self._host_line = f"host:{bucket.origin.partition('://')[2]}\n"
        self._path = bucket.path
        self._last_for = (0, 0)
        self._last = self._second(0, 0)

    def url(
        self,
        method: str,
        key: str,
        *,
        at: datetime,
        lapses_in: timedelta,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """A URL for `method` on `key` (the bucket itself where `key` is empty) with exactly these headers."""
        if not SHORTEST_LIFE <= lapses_in < LONGEST_LIFE:
            raise ValueError(f"A signed URL lives from a second to under seven days, not {lapses_in}.")
        # Lives are counted from the whole second in which `at` lies: never shorter than was promised.
        moment = int(at.timestamp()), ceil(lapses_in.total_seconds() + at.microsecond / 1e6)
        if moment != self._last_for:
            self._last, self._last_for = self._second(*moment), moment
        shared = self._last
        path = self._path + (key if _UNRESERVED.fullmatch(key) else quote(key, safe="/"))
        if headers:
            names, quoted_names, order = _in_order(tuple(headers))
            lines = "".join([_line(lower, headers[name]) if name else self._host_line for lower, name in order])
        else:
            names, quoted_names, lines = "host", "host", self._host_line
        parameters = shared.query + quoted_names
        if query:  # all of them sort after X-Amz-…, whose names begin with a capital
            parameters += "".join([f"&{name}={_quoted(query[name])}" for name in sorted(query)])
        signature = shared.sign(f"{method}\n{path}\n{parameters}\n{lines}\n{names}\nUNSIGNED-PAYLOAD")
        return f"{self._origin}{path}?{parameters}&X-Amz-Signature={signature}"

    def _second(self, second: int, lapses_in: int) -> _Second:
        at = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{at[:8]}/{self._bucket.region}/s3/aws4_request"
        parameters = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self._bucket.access_key}/{scope}",
            "X-Amz-Date": at,
            "X-Amz-Expires": str(lapses_in),
        }
        if self._bucket.session_token:
            parameters["X-Amz-Security-Token"] = self._bucket.session_token
        query = "".join(f"{name}={quote(value, safe='')}&" for name, value in parameters.items())
        key = b"AWS4" + self._bucket.secret_key.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n".encode()
        inner, outer = (sha256(bytes(byte ^ pad for byte in key.ljust(64, b"\0"))) for pad in (0x36, 0x5C))
        return _Second(f"{query}X-Amz-SignedHeaders=", to_sign, inner, outer)


def _line(name: str, value: str) -> str:
    return f"{name}:{' '.join(value.split())}\n"


@lru_cache(maxsize=64)
def _in_order(names: tuple[str, ...]) -> tuple[str, str, list[tuple[str, str]]]:
    """The names of the signed headers in one, the same for a query, and each in its place: as it is signed, and as it
    was given, which for the host is nothing."""
    order = sorted([("host", ""), *((name.lower(), name) for name in names)])
    in_one = ";".join([lower for lower, _ in order])
    return in_one, in_one.replace(";", "%3B"), order


@lru_cache(maxsize=1024)
def _quoted(value: str) -> str:
    """Content types mostly: the same few again and again."""
    return quote(value, safe="")
