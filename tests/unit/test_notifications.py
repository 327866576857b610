"""Everyone's event JSON, as their documentation shows it."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import EventsNotReadable
from mooring.storage.notifications import MOST_RECORDS, Heard, Told, hear

KEY = "photos/0b1ec0de-0000-4000-8000-000000000001_a.jpg"
AT = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
TIME = "2030-01-02T03:04:05.678Z"


def s3(key: str = KEY, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """A record as Amazon sends it; the others' have the same bones."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": TIME,
        "eventName": name,
        "s3": {"bucket": {"name": "photos"}, "object": {"key": key, "size": 3, "eTag": "e", "sequencer": "0A"}},
    }


RECORDS = {"Records": [s3()]}
MINIO = {"EventName": "s3:ObjectCreated:Put", "Key": f"photos/{KEY}", "Records": [s3(name="s3:ObjectCreated:Put")]}
EVENTBRIDGE = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "time": TIME,
    "detail": {"version": "0", "bucket": {"name": "photos"}, "object": {"key": KEY, "size": 3}, "reason": "PutObject"},
}
SNS = {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:…", "Message": json.dumps(RECORDS)}
GOOGLE = {"kind": "storage#object", "id": f"photos/{KEY}/1", "name": KEY, "bucket": "photos", "timeCreated": TIME}
PUBSUB = {
    "message": {
        "attributes": {"eventType": "OBJECT_FINALIZE", "bucketId": "photos", "objectId": KEY, "eventTime": TIME},
        "data": b64encode(json.dumps(GOOGLE).encode()).decode(),
        "messageId": "2070443601311540",
    },
    "subscription": "projects/p/subscriptions/s",
}
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "//storage.googleapis.com/projects/_/buckets/photos"}
EVENTARC = CLOUD_EVENT | {
    "type": "google.cloud.storage.object.v1.finalized",
    "subject": f"objects/{KEY}",
    "time": TIME,
    "data": GOOGLE,
}


@pytest.mark.parametrize(
    "said",
    [
        s3(),
        RECORDS,
        [s3()],
        MINIO,
        [{"Event": MINIO["Records"], "EventTime": TIME}],
        {"Records": [s3(name="ObjectCreated:CompleteMultipartUpload")]},
        EVENTBRIDGE,
        SNS,
        {"Records": [{"EventSource": "aws:sns", "Sns": SNS}]},
        {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(RECORDS)}]},
        {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(SNS)}]},
        {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(EVENTBRIDGE)}]},
        GOOGLE,
        PUBSUB,
        {"message": {"data": PUBSUB["message"]["data"]}},  # type: ignore[index]
        EVENTARC,
        [EVENTARC],
        {key: value for key, value in EVENTARC.items() if key != "data"},
        CLOUD_EVENT | {"type": "com.example.s3.created", "time": TIME, "data": {"key": KEY}},
        CLOUD_EVENT | {"type": "ceph:s3...ObjectCreated:Put", "data": RECORDS},
        CLOUD_EVENT | {"type": "x", "data_base64": b64encode(json.dumps(EVENTBRIDGE).encode()).decode()},
        CLOUD_EVENT | {"type": "x", "data": json.dumps(RECORDS)},
    ],
    ids=lambda said: json.dumps(said)[:60],
)
def test_one_object_came_whoever_says_it(said: object) -> None:
    assert hear(json.dumps(said)) == Heard([Told((KEY,), AT)])


@pytest.mark.parametrize(
    "said",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": TIME, "Bucket": "photos"},
        {"Records": [s3(name="ObjectRemoved:Delete")]},
        {"Records": [s3(name="s3:ObjectRemoved:DeleteMarkerCreated")]},
        {"Records": [s3(name="ObjectTagging:Put")]},
        EVENTBRIDGE | {"detail-type": "Object Deleted"},
        {"Type": "SubscriptionConfirmation", "Message": "You have chosen …", "SubscribeURL": "https://sns…"},
        {"message": {"attributes": {"eventType": "OBJECT_DELETE", "objectId": KEY}}},
        EVENTARC | {"type": "google.cloud.storage.object.v1.deleted"},
    ],
    ids=lambda said: json.dumps(said)[:60],
)
def test_what_is_about_anything_else_is_passed_over(said: object) -> None:
    assert hear(json.dumps(said)) == Heard(ignored=1)


def test_an_encoded_key_is_matched_both_ways() -> None:
    """Amazon writes a space as a plus, MinIO even the slash by its number, Ceph every character as it is."""
    told = hear(json.dumps({"Records": [s3("a+b/c%281%29"), s3("photos%2F0b1e_%ED%95%9C.jpg"), s3("raw")]})).told
    assert [one.names for one in told] == [
        ("a+b/c%281%29", "a b/c(1)"),
        ("photos%2F0b1e_%ED%95%9C.jpg", "photos/0b1e_한.jpg"),
        ("raw",),
    ]


@pytest.mark.parametrize("written", [None, 7, "", "yesterday", "2030-01-02T03:04:05"])
def test_a_time_that_can_not_be_read_is_no_reason_to_overhear(written: object) -> None:
    assert hear(json.dumps(s3() | {"eventTime": written})).told == [Told((KEY,), None)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (7, "it is no JSON object"),
        (None, "it is no JSON object"),
        ({}, "it is no event of a kind that is known here"),
        ({"hello": 1}, "it is no event of a kind that is known here"),
        (s3(name=""), "its eventName is no text"),
        ({"s3": {}, "eventName": "ObjectCreated:Put"}, "its object is missing"),
        ({"s3": 3, "eventName": "ObjectCreated:Put"}, "its s3 is no JSON object"),
        ({"s3": {"object": {"key": 7}}, "eventName": "ObjectCreated:Put"}, "its key is no text"),
        ({"Event": "lunch"}, "its Event is 'lunch'"),
        ({"body": "{"}, "what it carries is no JSON"),
        ({"message": {"data": "§"}}, "what it carries is no Base64"),
        ({"message": {}}, "what it carries is no JSON"),
        ({"Records": 7}, "its Records are no list"),
        ({"body": json.dumps([[[[[[[1]]]]]]])}, "too many envelopes, one in the other"),
    ],
)
def test_a_broken_record_is_named_and_the_others_count(broken: object, reason: str) -> None:
    heard = hear(json.dumps({"Records": [s3(), broken, s3()]}))
    assert len(heard.told) == 2
    assert [(one.record.startswith("Records[1]"), one.reason) for one in heard.unreadable] == [(True, reason)]


@pytest.mark.parametrize("message", [b"", b"{", b"\xff", b"NaN", b'"text"', b"7", b'{"hello": 1}', b"[" * 100_000])
def test_a_message_without_any_sense_is_refused(message: bytes) -> None:
    with pytest.raises(EventsNotReadable):
        hear(message)


def test_a_message_of_too_many_records_is_refused() -> None:
    with pytest.raises(EventsNotReadable, match="more than"):
        hear(json.dumps([s3()] * (MOST_RECORDS + 1)))


NAMES = [
    "Records",
    "s3",
    "object",
    "key",
    "eventName",
    "Event",
    "body",
    "Sns",
    "Message",
    "message",
    "data",
    "Type",
    "attributes",
    "eventType",
    "kind",
    "name",
    "detail-type",
    "detail",
    "specversion",
    "type",
    "subject",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_whatever_comes_is_heard_or_refused(said: object) -> None:
    try:
        heard = hear(json.dumps(said))
    except EventsNotReadable:
        return
    assert all(isinstance(name, str) for one in heard.told for name in one.names)
