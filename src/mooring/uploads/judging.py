"""What storage has, held against what was declared; what an upload says that is settled already; what a refusal
to issue says."""

from mooring.errors import MooringError, NotPending, QuotaExceeded, TooManyInFlight, UploadGone, UploadRejected
from mooring.storage.port import Found
from mooring.uploads.lifecycle import State, Upload
from mooring.uploads.queries import Verdict


def what_is_wrong(upload: Upload, found: Found) -> str | None:
    """What storage has, held against what was declared."""
    if found.size != upload.file_size:
        return f"{upload.file_size} bytes were declared, {found.size} arrived."
    if upload.checksum_sha256 and found.sha256 and found.sha256 != upload.checksum_sha256:
        return "The bytes do not have the SHA-256 that was declared."
    return None


def as_settled(upload: Upload) -> Upload:
    if upload.state is State.REJECTED:
        raise UploadRejected(upload.id, upload.error_message or "")
    if upload.state is State.RECLAIMED:
        raise UploadGone(upload.id)
    return upload


def verdict_error(verdict: Verdict) -> MooringError | None:
    if verdict is Verdict.OVER_QUOTA:
        return QuotaExceeded()
    return TooManyInFlight() if verdict is Verdict.OVER_FLIGHT else None


def why_not_renewed(upload: Upload) -> MooringError:
    if upload.state is State.RECLAIMED:
        return UploadGone(upload.id)
    return QuotaExceeded() if upload.state is State.PENDING else NotPending(upload.id, upload.state)
