"""What storage has, held against what was declared; and what an upload says that is settled already."""

from mooring.errors import UploadGone, UploadRejected
from mooring.storage.port import Found
from mooring.uploads.lifecycle import State, Upload


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
