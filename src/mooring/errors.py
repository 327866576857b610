"""Everything that can go wrong, as sentences. No HTTP in here: `web/errors.py` gives each its status."""

from collections.abc import Iterable, Sequence


class MooringError(Exception):
    """Something a caller can understand and act on. Anything else that is raised is a bug."""

    @property
    def message(self) -> str:
        return str(self)


# ── who are you ──────────────────────────────────────────────────────────────────────────────────


class NotSignedIn(MooringError):
    def __init__(self, why: str = "Sign in first: send the header 'Authorization: Bearer <access token>'.") -> None:
        super().__init__(why)


class WrongCredentials(MooringError):
    def __init__(self) -> None:
        super().__init__("E-mail or password is wrong.")


class SessionEnded(MooringError):
    def __init__(self) -> None:
        super().__init__("This refresh token is no longer valid. Sign in again.")


class EmailTaken(MooringError):
    def __init__(self, email: str) -> None:
        super().__init__(f"An account for {email} already exists. Sign in, or register another address.")


class NotAcceptable(MooringError, ValueError):
    """An e-mail or a password that can't be one. A ValueError too, so that a body's field is refused by it."""


class TooManyAttempts(MooringError):
    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many attempts. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class TooManyRequests(MooringError):
    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests from your address. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class AdminsOnly(MooringError):
    def __init__(self) -> None:
        super().__init__("Only an administrator may do this.")


# ── what you ask for ─────────────────────────────────────────────────────────────────────────────


class FileTooLarge(MooringError):
    def __init__(self, kind: str, size: int | None, limit: int) -> None:
        """`size`: None where it was not read to its end."""
        super().__init__(f"A {kind} may have at most {limit} bytes; this one has {size or 'more'}.")


class TypeNotAllowed(MooringError):
    def __init__(self, kind: str, content_type: str | None, allowed: Iterable[str]) -> None:
        """`content_type`: None where the bytes themselves were looked at, and are nothing that is known here."""
        what = f"A {kind} can't be {content_type!r}" if content_type else f"By its content this is no {kind}"
        super().__init__(f"{what}. Allowed: {', '.join(sorted(allowed))}.")


class AlbumNotFound(MooringError):
    def __init__(self, album_id: int) -> None:
        super().__init__(f"Album not found: {album_id}.")


class PhotoNotFound(MooringError):
    def __init__(self, photo_id: int) -> None:
        super().__init__(f"Photo not found: {photo_id}.")


class VideoNotFound(MooringError):
    def __init__(self, video_id: int) -> None:
        super().__init__(f"Video not found: {video_id}.")


class RenditionNotFound(MooringError):
    def __init__(self, video_id: int, name: str) -> None:
        super().__init__(f"Video {video_id} has no {name!r}, or not yet: GET /api/videos/{video_id} tells what it has.")


class UploadNotFound(MooringError):
    def __init__(self, upload_id: int) -> None:
        super().__init__(f"Upload not found: {upload_id}.")


class RecordNotFound(MooringError):
    def __init__(self, record_id: int) -> None:
        super().__init__(f"Record not found: {record_id}")  # guide 003's own words, here and below


class RecordPermissionDenied(MooringError):
    def __init__(self, what: str, user_id: int) -> None:
        super().__init__(f"Permission denied for {what}, user: {user_id}")


class RecordOperationFailed(MooringError):
    """Of this upload no record can be made."""


class QuotaExceeded(MooringError):
    def __init__(self) -> None:
        super().__init__("This upload would exceed your plan's storage. Delete something, or ask for a larger plan.")


class TooManyInFlight(MooringError):
    def __init__(self) -> None:
        super().__init__("Too many uploads are waiting for their bytes. Finish some, or wait for them to lapse.")


class KeyReused(MooringError):
    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was already used for another request. Use a new key.")


class KeyNotUsable(MooringError):
    def __init__(self) -> None:
        super().__init__("An Idempotency-Key has 1 to 255 characters.")


# ── share links ──────────────────────────────────────────────────────────────────────────────────


class ShareLinkNotFound(MooringError):
    def __init__(self) -> None:
        super().__init__("This share link does not exist. Check that you have all of its address.")


class ShareLinkGone(MooringError):
    def __init__(self, why: str) -> None:
        super().__init__(f"This share link {why}. Ask whoever sent it to you for a new one.")


class SharePasswordRequired(MooringError):
    def __init__(self) -> None:
        super().__init__("This share link has a password: POST it, or send it in the header 'X-Share-Password'.")


class WrongSharePassword(MooringError):
    def __init__(self) -> None:
        super().__init__("The password of this share link is another one.")


class ShareLinkNotOpened(MooringError):
    def __init__(self) -> None:
        super().__init__(
            "The views of this share link are limited: open it first, and show the pass you get for its images."
        )


class TooManyGuesses(TooManyAttempts):
    """Of tokens that nobody gave out."""


# ── an upload's life ─────────────────────────────────────────────────────────────────────────────


class FileNotArrived(MooringError):
    def __init__(self, upload_id: int) -> None:
        super().__init__(
            f"The file of upload {upload_id} is not in storage yet. PUT it to its URL, then confirm again."
        )


class UploadRejected(MooringError):
    def __init__(self, upload_id: int, reason: str) -> None:
        super().__init__(f"Upload {upload_id} was rejected: {reason} Ask for a new URL and upload again.")


class UploadGone(MooringError):
    def __init__(self, upload_id: int) -> None:
        super().__init__(f"Upload {upload_id} lapsed long ago and was reclaimed. Ask for a new URL.")


class NotPending(MooringError):
    def __init__(self, upload_id: int, state: str) -> None:
        super().__init__(
            f"Upload {upload_id} is {state}: only an upload that still waits for its bytes gets a new URL."
        )


class NotInParts(MooringError):
    def __init__(self, upload_id: int) -> None:
        super().__init__(
            f"Upload {upload_id} comes in one PUT, not in parts. Ask POST /uploads/{upload_id}/renew for a fresh URL."
        )


class NoSuchPart(MooringError):
    def __init__(self, number: int, count: int) -> None:
        super().__init__(f"This upload has parts 1 to {count}; there is no part {number}.")


class PartsMissing(MooringError):
    def __init__(self, upload_id: int, numbers: Sequence[int]) -> None:
        first = ", ".join(str(number) for number in numbers[:20])
        rest = f" and {len(numbers) - 20} more" if len(numbers) > 20 else ""
        super().__init__(f"Upload {upload_id} is not whole: parts {first}{rest} are missing. Send them, then complete.")


class PartsDiffer(MooringError):
    """A part is not the one it should be: the message says which, and what to do."""


class FileLost(MooringError):
    def __init__(self) -> None:
        super().__init__("The file is no longer in storage as it arrived.")


class NotFailed(MooringError):
    def __init__(self, upload_id: int, state: str) -> None:
        super().__init__(f"Upload {upload_id} is {state}: only one that FAILED can be tried again.")


class TriggerOff(MooringError):
    def __init__(self, trigger: str) -> None:
        super().__init__(f"Arrivals by '{trigger}' are switched off here. {_INSTEAD.get(trigger, '')}".rstrip())


_INSTEAD = {
    "client": "The upload is noticed without your call: ask for its state, or wait to hear of it.",
    "event": "MOORING_TRIGGERS must name it and MOORING_EVENTS_SECRET must be set.",
    "function": "MOORING_TRIGGERS must name it.",
}


class NotTheSender(MooringError):
    def __init__(self) -> None:
        super().__init__(
            "Storage events come with the secret of MOORING_EVENTS_SECRET: in the header "
            "'Authorization: Bearer <secret>', or as the password of Basic."
        )


class EventsNotReadable(MooringError):
    def __init__(self, why: str) -> None:
        super().__init__(f"This is no storage event: {why}.")


# ── live, and to the outside ─────────────────────────────────────────────────────────────────────


class TooManyStreams(MooringError):
    def __init__(self, most: int) -> None:
        super().__init__(f"You have {most} live streams open here already. Close one, or share it among your pages.")


class OriginNotAllowed(MooringError):
    def __init__(self) -> None:
        super().__init__("Pages of this origin may not use the API: add it to MOORING_CORS_ORIGINS.")


class WebhookNotFound(MooringError):
    def __init__(self, webhook_id: int) -> None:
        super().__init__(f"Webhook not found: {webhook_id}.")


class WebhookUrlNotUsable(MooringError):
    def __init__(self, why: str) -> None:
        super().__init__(f"A webhook can't have this URL: {why}.")


class TooManyWebhooks(MooringError):
    def __init__(self, most: int) -> None:
        super().__init__(f"You have {most} webhooks already. Delete one.")


class TooManyLookups(MooringError):
    def __init__(self) -> None:
        super().__init__("The names of too many webhooks are being looked up at this moment. Try again in a minute.")


class DeliveryNotFound(MooringError):
    def __init__(self, delivery_id: int) -> None:
        super().__init__(f"Delivery not found: {delivery_id}.")


class DeliveryNotDead(MooringError):
    def __init__(self, delivery_id: int, state: str, disabled_why: str | None) -> None:
        why = f"its webhook is disabled: {disabled_why}" if disabled_why else f"it is {state}, not dead"
        super().__init__(f"Delivery {delivery_id} can't be sent again: {why}.")


# ── what storage refuses ─────────────────────────────────────────────────────────────────────────


class UrlNotValid(MooringError):
    """A temporary URL or upload address that was altered, that lapsed, or that is used for what it was not made for."""


class ChecksumDiffers(MooringError):
    def __init__(self) -> None:
        super().__init__("The bytes do not have the SHA-256 that was declared.")


class ObjectExists(MooringError):
    def __init__(self) -> None:
        super().__init__("This URL was already used: the object exists and is not overwritten.")


class ObjectNotFound(MooringError):
    def __init__(self, key: str) -> None:
        super().__init__(f"Object not found: {key}.")


class ObjectChanged(MooringError):
    def __init__(self, key: str) -> None:
        super().__init__(f"Object {key} is no longer the one that was verified.")


# ── what we lean on ──────────────────────────────────────────────────────────────────────────────


class StorageUnavailable(MooringError):
    """Storage did not answer, or not sensibly: nothing can be said about the object."""

    def __init__(self, what: str = "") -> None:
        super().__init__("Storage can't be reached right now. Nothing was changed; try again.")
        self.what = what  # for the log, never for the caller


class SiblingsNotHeard(MooringError):
    def __init__(self) -> None:
        super().__init__("What all server processes count can't be told right now. Ask again.")


class DatabaseUnavailable(MooringError):
    def __init__(self, what: str = "") -> None:
        super().__init__("The database can't be reached right now. Try again.")
        self.what = what


class SetupProblem(MooringError):
    """The installation needs a person: the message says what to do."""
