"""Signatures of S3's version 4, in the URL. Every request is signed so, ours as well as those of clients."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from urllib.parse import quote

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest

from mooring.storage.s3_bucket import Bucket

SHORTEST_LIFE = timedelta(seconds=1)
LONGEST_LIFE = timedelta(days=7)  # S3 has no more
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")


class Signer:
    def __init__(self, bucket: Bucket) -> None:
        self._region = bucket.region
        self._origin = bucket.origin
        self._host = bucket.origin.partition("://")[2]
        self._path = bucket.path
        self._keys = AwsCredentialsProvider.new_static(bucket.access_key, bucket.secret_key, bucket.session_token)

        self._last: AwsSigningConfig | None = None
        self._last_for = (0, 0)

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
        where = self._path + (key if _UNRESERVED.fullmatch(key) else quote(key, safe="/"))
        if query:
            where += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        signed = HttpHeaders([("host", self._host), *(headers or {}).items()])
        config = self._config(int(at.timestamp()), ceil(lapses_in.total_seconds() + at.microsecond / 1e6))
        # With keys at hand the future is already done when it comes: nothing waits here.
        return self._origin + str(aws_sign_request(HttpRequest(method, where, signed), config).result().path)

    def _config(self, second: int, lapses_in: int) -> AwsSigningConfig:
        """The same for all that is signed in one second, and dear to make. Lives are counted from the whole second in
        which `at` lies: never shorter than was promised."""
        if self._last_for != (second, lapses_in):
            self._last = AwsSigningConfig(
                algorithm=AwsSigningAlgorithm.V4,
                signature_type=AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
                credentials_provider=self._keys,
                region=self._region,
                service="s3",
                date=datetime.fromtimestamp(second, UTC),
                # S3 alone signs the path as it is sent: encoded once, its slashes and dots untouched.
                use_double_uri_encode=False,
                should_normalize_uri_path=False,
                signed_body_value="UNSIGNED-PAYLOAD",
                expiration_in_seconds=lapses_in,
            )
            self._last_for = (second, lapses_in)
        return self._last
