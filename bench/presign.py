"""One upload URL, signed over and over in one process: microseconds for each.

    python presign.py mooring|boto3

Prints the best of several rounds: what is above it is the machine's noise. Both sign a PUT with its type and
length, for keys that differ, with credentials at hand."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BUCKET, ENDPOINT, REGION, KEY, SECRET = (
    "photos",
    "http://127.0.0.1:9000",
    "us-east-1",
    "testkey",
    "testsecret",
)
SIZE, SECONDS = 2_345_678, 900


def of_mooring() -> Callable[[str], object]:
    from mooring.clock import now
    from mooring.storage.s3 import S3Storage
    from mooring.storage.s3_bucket import bucket_of

    where = f"s3://{BUCKET}?endpoint={ENDPOINT}&region={REGION}"
    storage = S3Storage(bucket_of(where, access_key=KEY, secret_key=SECRET), now)
    life = timedelta(seconds=SECONDS)

    def sign(key: str) -> object:
        return storage.presign_put(key, content_type="image/jpeg", length=SIZE, at=datetime.now(UTC), lapses_in=life)

    return sign


def of_boto3() -> Callable[[str], object]:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )

    def sign(key: str) -> object:
        asked = {"Bucket": BUCKET, "Key": key, "ContentType": "image/jpeg", "ContentLength": SIZE}
        return client.generate_presigned_url("put_object", Params=asked, ExpiresIn=SECONDS)

    return sign


def microseconds(sign: Callable[[str], object], *, rounds: int = 7, calls: int = 2_000) -> float:
    keys = [f"photos/0f8fad5b-d9cb-469f-a165-{number:012}_IMG_2041.jpg" for number in range(calls)]
    return min(_round(sign, keys) for _ in range(rounds)) / calls * 1e6


def _round(sign: Callable[[str], object], keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        sign(key)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(microseconds({"mooring": of_mooring, "boto3": of_boto3}[sys.argv[1]]()))
