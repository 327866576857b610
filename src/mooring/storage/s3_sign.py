"""Signatures of S3's version 4, in the URL. Every request is signed so, ours as well as those of clients.

By hand (`docs/decisions/0003-s3-calls.md` says why): what is the same for a whole second is made once a second."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import ceil
from urllib.parse import quote

from mooring.storage.s3_bucket import Bucket

SHORTEST_LIFE = timedelta(seconds=1)
LONGEST_LIFE = timedelta(days=7)  # S3 has no more
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True, slots=True)
class _Second:
    """What all signatures of one second and one life share."""

    query: str  # of the parameters, those that every URL has, up to the names of the signed headers
    to_sign: str  # of the string to sign, all but the hash of the request
    key: bytes


class Signer:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._origin = bucket.origin
        self._host = bucket.origin.partition("://")[2]
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
        signed = {"host": self._host}
        for name, value in (headers or {}).items():
            signed[name.lower()] = " ".join(value.split())
        names = sorted(signed)
        lines = "".join([f"{name}:{signed[name]}\n" for name in names])
        parameters = f"{shared.query}{'%3B'.join(names)}"
        if query:  # all of them sort after X-Amz-…, whose names begin with a capital
            parameters += "".join([f"&{name}={quote(query[name], safe='')}" for name in sorted(query)])
        request = f"{method}\n{path}\n{parameters}\n{lines}\n{';'.join(names)}\nUNSIGNED-PAYLOAD"
        to_sign = shared.to_sign + sha256(request.encode()).hexdigest()
        signature = hmac.digest(shared.key, to_sign.encode(), "sha256").hex()
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
        return _Second(f"{query}X-Amz-SignedHeaders=", f"AWS4-HMAC-SHA256\n{at}\n{scope}\n", key)
