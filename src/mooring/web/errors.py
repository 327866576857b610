"""What each error is in HTTP, and the envelope every one of them travels in."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse, Response

from mooring import errors
from mooring.observe.logs import request_id

log = structlog.get_logger()

# One line per error: its status and its code.
STATUS: dict[type[errors.MooringError], tuple[int, str]] = {
    errors.NotSignedIn: (401, "NOT_SIGNED_IN"),
    errors.WrongCredentials: (401, "WRONG_CREDENTIALS"),
    errors.SessionEnded: (401, "SESSION_ENDED"),
    errors.AdminsOnly: (403, "ADMINS_ONLY"),
    errors.EmailTaken: (409, "EMAIL_TAKEN"),
    errors.NotAcceptable: (422, "VALIDATION_FAILED"),
    errors.TooManyAttempts: (429, "TOO_MANY_ATTEMPTS"),
    errors.TooManyRequests: (429, "TOO_MANY_REQUESTS"),
    errors.FileTooLarge: (413, "FILE_TOO_LARGE"),
    errors.TypeNotAllowed: (400, "TYPE_NOT_ALLOWED"),
    errors.AlbumNotFound: (404, "ALBUM_NOT_FOUND"),
    errors.PhotoNotFound: (404, "PHOTO_NOT_FOUND"),
    errors.VideoNotFound: (404, "VIDEO_NOT_FOUND"),
    errors.RenditionNotFound: (404, "RENDITION_NOT_FOUND"),
    errors.UploadNotFound: (404, "UPLOAD_NOT_FOUND"),
    errors.RecordNotFound: (404, "RECORD_NOT_FOUND"),
    errors.RecordPermissionDenied: (403, "RECORD_PERMISSION_DENIED"),
    errors.RecordOperationFailed: (400, "RECORD_OPERATION_FAILED"),
    errors.QuotaExceeded: (403, "QUOTA_EXCEEDED"),
    errors.TooManyInFlight: (429, "TOO_MANY_UPLOADS_IN_FLIGHT"),
    errors.KeyReused: (409, "IDEMPOTENCY_KEY_REUSED"),
    errors.KeyNotUsable: (400, "IDEMPOTENCY_KEY_NOT_USABLE"),
    errors.ShareLinkNotFound: (404, "SHARE_LINK_NOT_FOUND"),
    errors.ShareLinkGone: (410, "SHARE_LINK_GONE"),
    errors.SharePasswordRequired: (401, "PASSWORD_REQUIRED"),
    errors.WrongSharePassword: (401, "WRONG_PASSWORD"),
    errors.ShareLinkNotOpened: (401, "SHARE_LINK_NOT_OPENED"),
    errors.TooManyGuesses: (429, "TOO_MANY_GUESSES"),
    errors.FileNotArrived: (404, "FILE_NOT_ARRIVED"),
    errors.UploadRejected: (409, "UPLOAD_REJECTED"),
    errors.UploadGone: (410, "UPLOAD_GONE"),
    errors.NotPending: (409, "UPLOAD_NOT_PENDING"),
    errors.NotInParts: (409, "UPLOAD_NOT_IN_PARTS"),
    errors.NoSuchPart: (400, "NO_SUCH_PART"),
    errors.PartsMissing: (409, "PARTS_MISSING"),
    errors.PartsDiffer: (409, "PARTS_DIFFER"),
    errors.FileLost: (404, "FILE_LOST"),
    errors.NotFailed: (409, "UPLOAD_NOT_FAILED"),
    errors.TriggerOff: (403, "TRIGGER_OFF"),
    errors.NotTheSender: (401, "EVENTS_SECRET_REQUIRED"),
    errors.EventsNotReadable: (422, "EVENTS_NOT_READABLE"),
    errors.TooManyStreams: (429, "TOO_MANY_STREAMS"),
    errors.OriginNotAllowed: (403, "ORIGIN_NOT_ALLOWED"),
    errors.WebhookNotFound: (404, "WEBHOOK_NOT_FOUND"),
    errors.WebhookUrlNotUsable: (400, "WEBHOOK_URL_NOT_USABLE"),
    errors.TooManyWebhooks: (409, "TOO_MANY_WEBHOOKS"),
    errors.TooManyLookups: (429, "TOO_MANY_LOOKUPS"),
    errors.DeliveryNotFound: (404, "DELIVERY_NOT_FOUND"),
    errors.DeliveryNotDead: (409, "DELIVERY_NOT_DEAD"),
    errors.UrlNotValid: (403, "URL_NOT_VALID"),
    errors.ChecksumDiffers: (400, "CHECKSUM_DIFFERS"),
    errors.ObjectExists: (412, "OBJECT_EXISTS"),
    errors.ObjectNotFound: (404, "OBJECT_NOT_FOUND"),
    errors.ObjectChanged: (412, "OBJECT_CHANGED"),
    errors.StorageUnavailable: (500, "STORAGE_UNAVAILABLE"),
    errors.DatabaseUnavailable: (500, "DATABASE_UNAVAILABLE"),
    errors.SiblingsNotHeard: (503, "SIBLINGS_NOT_HEARD"),
    errors.SetupProblem: (500, "SETUP_PROBLEM"),
}


# The same for what the framework refuses, whose names change between Pythons. None: its own words say more.
OF_HTTP: dict[int, tuple[str, str | None]] = {
    404: ("NOT_FOUND", "There is nothing at this address."),
    405: ("METHOD_NOT_ALLOWED", "This address does not take that method."),
    413: ("BODY_TOO_LARGE", None),
}


class ErrorDetail(BaseModel):
    field: str
    message: str


class Error(BaseModel):
    code: str
    message: str
    timestamp: str
    path: str
    request_id: str | None
    details: list[ErrorDetail] | None = None


class Envelope(BaseModel):
    """How every error reads."""

    error: Error


def install(app: FastAPI) -> None:
    for kind, answer in _answers():
        app.add_exception_handler(kind, answer)


async def answer_to(request: HTTPConnection, failure: Exception) -> Response:
    """For routes that the framework does not wrap."""
    return await next(answer for kind, answer in _answers() if isinstance(failure, kind))(request, failure)


def _answers() -> Sequence[tuple[type[Exception], Callable[[HTTPConnection, Exception], Awaitable[Response]]]]:
    """The first that fits; everything fits the last."""
    return (
        (errors.MooringError, _expected),
        (HTTPException, _of_http),
        (RequestValidationError, _invalid),
        (ClientDisconnect, _left),
        (Exception, _bug),
    )


def error_of(failure: errors.MooringError) -> tuple[int, str]:
    """The status and code of an expected error."""
    return next(STATUS[known] for known in type(failure).__mro__ if known in STATUS)


def _envelope(
    request: HTTPConnection,
    status: int,
    code: str,
    message: str,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    error = {
        "code": code,
        "message": message,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "path": request.url.path,
        "request_id": request_id.get(),
        **more,
    }
    answer: dict[str, Any] = {"error": error}
    if request.scope["path"].startswith("/uppy/"):
        answer["message"] = message  # Companion says it there, and there Uppy reads it
    return JSONResponse(answer, status, headers)


async def _expected(request: HTTPConnection, failure: Exception) -> JSONResponse:
    assert isinstance(failure, errors.MooringError)  # noqa: S101
    status, code = error_of(failure)
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(failure, errors.TooManyAttempts | errors.TooManyRequests):
        headers["Retry-After"] = str(failure.retry_after)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("leaning_on_nothing", code=code, why=getattr(failure, "what", ""), path=_in_the_log(request))
    return _envelope(request, status, code, failure.message, headers=headers)


def _in_the_log(request: HTTPConnection) -> str:
    """Whoever reads it must not be able to open what was shared with others."""
    return re.sub(r"^/(share|uppy)/[^/]+", r"/\1/…", request.url.path)


async def _of_http(request: HTTPConnection, failure: Exception) -> JSONResponse:
    """What the framework refuses: unknown paths, other methods, broken bodies."""
    assert isinstance(failure, HTTPException)  # noqa: S101
    status = failure.status_code
    code, message = OF_HTTP.get(status) or (HTTPStatus(status).name, str(failure.detail))
    headers = dict(failure.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers |= _allowed(request)
    return _envelope(request, status, code, message or str(failure.detail), headers=headers)


def _allowed(request: HTTPConnection) -> dict[str, str]:
    """Every method of the address: the framework tells those of the first route that it found there."""
    path = getattr(request.scope.get("route"), "path", "")
    methods = request.app.openapi()["paths"].get(path, {})
    return {"Allow": ", ".join(method.upper() for method in methods)} if methods else {}


async def _invalid(request: HTTPConnection, failure: Exception) -> JSONResponse:
    assert isinstance(failure, RequestValidationError)  # noqa: S101
    details = [{"field": _field(found), "message": found["msg"]} for found in failure.errors()[:20]]
    message = "The request is not valid: " + "; ".join(f"{one['field']}: {one['message']}" for one in details[:3])
    return _envelope(request, 422, "VALIDATION_FAILED", message, details=details)


def _field(found: dict[str, Any]) -> str:
    """Its name alone: FastAPI says before it whether it stood in the body, the query or the path."""
    where = [] if found["type"] == "json_invalid" else [str(part) for part in found["loc"]]
    return ".".join(where[1:] if where[:1] in (["body"], ["query"], ["path"], ["header"]) else where) or "body"


async def _left(request: HTTPConnection, _: Exception) -> JSONResponse:
    """The client went away before its body was here. Nobody reads this, and nothing is wrong with us."""
    return _envelope(request, 400, "BODY_NOT_COMPLETE", "The connection ended before the body did.")


async def _bug(request: HTTPConnection, failure: Exception) -> JSONResponse:
    """Nobody expected this: counted, told in full to the log, and not at all to the caller."""
    request.app.state.house.metrics.exceptions.inc()
    log.error("unexpected_exception", path=_in_the_log(request), exc_info=failure)
    return _envelope(request, 500, "INTERNAL_ERROR", "Something went wrong on our side. It has been noted; try again.")
