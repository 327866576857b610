"""Sections 6 and 7 of the monitoring guide, and the three alarms of the recording guide."""

from mooring.observe.monitoring.pace import MINUTE
from mooring.observe.monitoring.signals import Level, Share, Written
from mooring.observe.monitoring.thresholds import Measure, critical, warning

USED = "max(photo_api_object_storage_usage_bytes)"
USED_AN_HOUR_AGO = "max(photo_api_object_storage_usage_bytes offset 1h)"
BY_USER = 'photo_api_photo_upload_size_total_bytes{user_id!="other"}'
OUTCOMES = "photo_api_upload_outcomes_total"
RECORD = "photo_api_record_creation_duration_seconds_count"
FEW = "A handful is not judged."


def failing(handler: str, status: str = 'status!~"2.."') -> Share:
    return Share(f"http_requests_total{{{handler},{status}}}", f"http_requests_total{{{handler}}}")


BUSINESS = (
    Measure(
        "RegistrationFailures", "business", "guide 002 §6.1", "Registrations that fail",
        failing('handler="/auth/register"'), [warning(10), critical(30)], "%", why=FEW,
    ),
    Measure(
        "LoginFailures", "business", "guide 002 §6.1", "Logins that fail",
        failing('handler="/auth/login"'), [warning(20), critical(50)], "%", why=FEW,
    ),
    Measure(
        "PresignFailures", "business", "guide 002 §6.2", "Upload URLs that are refused",
        failing('handler="/photos/presigned-url"'), [warning(5), critical(15)], "%", why=FEW,
    ),
    Measure(
        "UploadCompletion", "business", "guide 002 §6.2", "Photos that arrive, of those that were issued",
        Share(f'{OUTCOMES}{{kind="photo",outcome!="arrived"}}', f'{OUTCOMES}{{kind="photo"}}', counts_good=True),
        [warning(80, 10 * MINUTE), critical(60, 5 * MINUTE)], "%", op="<",
        why="The guide divides confirms by issues. A batch of a thousand is one request and a thousand confirms, what"
        " a storage event tells of is never confirmed, and who just began is not late: so what became of each "
        "upload is counted, once it is known.",
    ),
    Measure(
        "ImageFailures", "business", "guide 002 §6.2", "Images asked for in vain",
        failing('handler=~"/photos/.*image"', 'status=~"4..|5.."'), [warning(5), critical(15)], "%",
        why=f"With a CDN the answer is 302, and to a browser that has the image 304: those are no failures. {FEW}",
    ),
)  # fmt: skip

GROWTH = (
    Measure(
        "StorageGrowth", "growth", "guide 002 §7.2", "Growth of the storage within an hour",
        Written(f"({USED} / {USED_AN_HOUR_AGO} - 1) * 100", f"{USED} - {USED_AN_HOUR_AGO} >= 1e9"),
        [warning(10), critical(50, 2 * MINUTE)], "%", op=">=",
        why="From 1 GB on: a new house doubles with its second photo. `max`, for every instance shows the same number.",
    ),
    Measure(
        "UserUploads", "growth", "guide 002 §7.2", "Uploads of one user within an hour",
        Written(
            f"sum by (user_id) (({BY_USER} unless {BY_USER} offset 1h) or increase({BY_USER}[1h]))",
            'on () count(up{job="mooring"} offset 1h) > 0',
        ),
        [warning(1e9), critical(10e9)], "bytes", op=">=", by=["user_id"],
        why="The guide's gauge of what a user has falls when they delete. The counter of what they uploaded is asked;"
        " what a counter is born with `increase` does not see, so a series that is younger than an hour counts "
        "whole, if an hour ago somebody looked.",
    ),
)  # fmt: skip

RECORDS = (
    Measure(
        "RecordCreation", "records", "guide 003, record-creation-error-rate", "Recordings that can't be created",
        Share(f'{RECORD}{{result="failure"}}', RECORD), [warning(5, alert="RecordCreationErrorRate")], "%", why=FEW,
    ),
    Measure(
        "BatchQueue", "records", "guide 003, batch-processing-queue-depth", "Jobs that are due",
        Level("photo_api_batch_queue_depth", "max"), [warning(100, alert="BatchProcessingQueueDepth")],
        why="`max`: every instance shows the same queue.",
    ),
    Measure(
        "UploadFailures", "records", "guide 003, s3-upload-failure-rate", "Uploads that were rejected or never came",
        Share(f'{OUTCOMES}{{outcome!="arrived"}}', OUTCOMES), [warning(1, alert="S3UploadFailureRate")], "%", why=FEW,
    ),
)  # fmt: skip
