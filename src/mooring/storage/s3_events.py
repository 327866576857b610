"""Binds a bucket's events to where they shall go: a queue, a topic or a function that is there, EventBridge; on Ceph an
address, for which it makes a topic."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit
from xml.etree.ElementTree import Element

import structlog

from mooring.errors import StorageUnavailable
from mooring.storage import s3_xml as xml
from mooring.storage.port import Step
from mooring.storage.s3_calls import Calls
from mooring.storage.s3_rules import RULE, put_rule

log = structlog.get_logger()

TOPIC = "mooring"
CAME = "s3:ObjectCreated:*"
_OF_ARN: Mapping[str, tuple[str, str]] = {
    "sqs": ("QueueConfiguration", "Queue"),
    "sns": ("TopicConfiguration", "Topic"),
    "lambda": ("CloudFunctionConfiguration", "CloudFunction"),
}
_ADDRESSES = ("http", "https", "amqp", "amqps", "kafka")
_FORMS = "eventbridge, an arn: of SQS, SNS or Lambda, or on Ceph an https://, amqp:// or kafka:// address"
_INSTEAD = (
    "Nothing is lost without events: clients confirm and the sweep looks. How they are set up by hand is in "
    "docs/how-to/storage-events.md."
)


async def bind(calls: Calls, target: str) -> Step:
    try:
        rule = await _rule(calls, target)
    except ValueError as wrong:
        return Step("events", False, f"MOORING_EVENTS_TARGET {wrong}")
    except StorageUnavailable as problem:
        return Step("events", False, f"The storage makes no topic ({problem.what}). {_INSTEAD}")
    problem_said = await put_rule(calls, "notification", "NotificationConfiguration", rule)
    if problem_said is not None:
        return Step("events", False, f"The storage takes no event notifications ({problem_said}). {_INSTEAD}")
    return Step("events", True, f"What is uploaded is told to {_shown(target)}.")


async def _rule(calls: Calls, target: str) -> Element:
    if target == "eventbridge":
        return xml.new("EventBridgeConfiguration")
    if not target.startswith("arn:"):
        if urlsplit(target).scheme not in _ADDRESSES:
            raise ValueError(f"reads {_FORMS}.")
        target = await _topic(calls, target)
    service = target.split(":")[2] if target.count(":") >= 5 else ""
    if service not in _OF_ARN:
        raise ValueError(f"is {target!r}, no ARN of SQS, SNS or Lambda.")
    tag, named = _OF_ARN[service]
    return xml.new(tag, ("Id", RULE), (named, target), ("Event", CAME))


async def _topic(calls: Calls, address: str) -> str:
    """Ceph's topics are made with the words of SNS. A persistent one keeps what its receiver did not take."""
    # A hundred megabytes that only this step needs.
    from aiobotocore.session import get_session
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = calls.bucket
    session = get_session()
    try:
        async with session.create_client(
            "sns",
            region_name=bucket.region,
            endpoint_url=bucket.endpoint,
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
        ) as sns:
            made = await sns.create_topic(Name=f"{TOPIC}-{bucket.name}", Attributes=_attributes(address))
            return str(made["TopicArn"])
    except (BotoCoreError, ClientError, OSError) as problem:
        raise StorageUnavailable(f"{problem}; Ceph takes an address with a secret only over HTTPS") from problem


def _attributes(address: str) -> dict[str, str]:
    scheme, netloc, path, query, _ = urlsplit(address)
    words = dict(parse_qsl(query))
    attributes = {"persistent": "true"}
    if scheme.startswith("amqp"):
        attributes |= {"amqp-exchange": words.pop("exchange", TOPIC), "amqp-ack-level": "broker"}
    elif scheme == "kafka":
        attributes |= {"kafka-ack-level": "broker"}
    rest = "&".join(f"{quote(name)}={quote(value)}" for name, value in words.items())
    return attributes | {"push-endpoint": urlunsplit((scheme, netloc, path, rest, ""))}


def _shown(target: str) -> str:
    parts = urlsplit(target)
    return target if "@" not in parts.netloc else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
