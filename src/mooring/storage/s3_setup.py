"""Makes a bucket ready, as far as its storage can: each step says what it did, or what a person must do."""

from collections.abc import Sequence

from mooring.errors import StorageUnavailable
from mooring.storage import s3_xml as xml
from mooring.storage.port import Step
from mooring.storage.s3_calls import ANY, Calls
from mooring.storage.s3_events import bind
from mooring.storage.s3_rules import RULE, put_rule, said

STALE_AFTER_DAYS = 7
_NO_CORS = (
    "Browsers can't upload until the bucket answers CORS requests: allow PUT, GET and HEAD with any header "
    "from {origins}, and expose ETag, in the storage's own settings (of Swift: those of the containers NAME and "
    "NAME+segments) or in a proxy before it."
)
_NO_LIFECYCLE = (
    "Nothing is lost: `mooring reconcile` aborts stale multipart uploads. Run it now and then, "
    f"or set the bucket to abort them after {STALE_AFTER_DAYS} days."
)


async def prepare(calls: Calls, origins: Sequence[str], events: str | None) -> Sequence[Step]:
    bucket = await _bucket(calls)
    if not bucket.done:
        return [bucket]
    steps = [bucket, await _cors(calls, origins), await _lifecycle(calls)]
    return [*steps, await bind(calls, events)] if events else steps


async def _bucket(calls: Calls) -> Step:
    name = calls.bucket.name
    try:
        seen = await calls.ask("HEAD", good=ANY)
        if seen.status == 200:
            return Step("bucket", True, f"{name} is there.")
        if seen.status != 404:
            return Step(
                "bucket",
                False,
                f"{name} can't be used with these keys in {calls.bucket.region}: HEAD says {seen.status}.",
            )
        made = await calls.ask("PUT", body=_creation(calls), good=ANY)
    except StorageUnavailable as problem:
        return Step("bucket", False, f"{name} can't be reached: {problem.what}.")
    if made.status == 200:
        return Step("bucket", True, f"{name} was created.")
    return Step(
        "bucket",
        False,
        f"{name} is missing and can't be created ({said(made)}): create it, or name another.",
    )


def _creation(calls: Calls) -> bytes:
    region = calls.bucket.region
    if region == "us-east-1":  # the one that Amazon will not have named
        return b""
    return xml.write(xml.new("CreateBucketConfiguration", ("LocationConstraint", region)))


async def _cors(calls: Calls, origins: Sequence[str]) -> Step:
    if not origins:
        return Step("cors", True, "No origins are set: the bucket's CORS rules stay as they are.")
    rule = xml.new(
        "CORSRule",
        ("ID", RULE),
        *(("AllowedOrigin", origin) for origin in origins),
        *(("AllowedMethod", method) for method in ("GET", "HEAD", "PUT")),
        ("AllowedHeader", "*"),
        ("ExposeHeader", "ETag"),
        ("MaxAgeSeconds", 3600),
    )
    listed = ", ".join(origins)
    problem = await put_rule(calls, "cors", "CORSConfiguration", rule)
    if problem is not None:
        return Step("cors", False, f"The storage takes no CORS rules ({problem}). {_NO_CORS.format(origins=listed)}")
    return Step("cors", True, f"Pages of {listed} may upload.")


async def _lifecycle(calls: Calls) -> Step:
    rule = xml.new(
        "Rule",
        ("ID", RULE),
        xml.new("Filter", ("Prefix", "")),
        ("Status", "Enabled"),
        xml.new("AbortIncompleteMultipartUpload", ("DaysAfterInitiation", STALE_AFTER_DAYS)),
    )
    problem = await put_rule(calls, "lifecycle", "LifecycleConfiguration", rule)
    if problem is not None:
        return Step("lifecycle", False, f"The storage takes no lifecycle rules ({problem}). {_NO_LIFECYCLE}")
    return Step("lifecycle", True, f"Multipart uploads older than {STALE_AFTER_DAYS} days are aborted.")
