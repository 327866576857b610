import pytest

from mooring.web.limits import CLASSES, class_of


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/photos/presigned-url", "issue"),
        ("POST", "/photos/presigned-url/batch", "issue"),
        ("POST", "/photos/confirm", "confirm"),
        ("POST", "/photos/confirm/batch", "confirm"),
        ("POST", "/records/async/presigned-url", "issue"),
        ("POST", "/records/async", "confirm"),
        ("GET", "/records/async/me", "read"),
        ("DELETE", "/records/async/1", "write"),
        ("POST", "/photos/", "upload"),
        ("POST", "/photos", "upload"),
        ("PUT", "/storage/photos/x.jpg", "upload"),
        ("GET", "/storage/photos/x.jpg", "read"),
        ("GET", "/photos", "read"),
        ("HEAD", "/photos/1/image", "read"),
        ("PATCH", "/photos/1", "write"),
        ("POST", "/albums", "write"),
        ("DELETE", "/albums/1", "write"),
        ("POST", "/auth/login", "auth"),
        ("POST", "/auth/register", "auth"),
        ("GET", "/auth/me", "read"),
        ("GET", "/share/abc", "share"),
        ("POST", "/share/abc", "share"),
        ("GET", "/share/abc/photos/1/image", "share"),
        ("POST", "/uppy/capabilities", "write"),
        ("GET", "/uppy/abc/s3/params", "issue"),
        ("POST", "/uppy/abc/s3/form", "upload"),
        ("POST", "/uppy/abc/s3/multipart", "issue"),
        ("GET", "/uppy/abc/s3/multipart/1/2", "issue"),
        ("PUT", "/uppy/abc/s3/multipart/1/2", "upload"),
        ("POST", "/uppy/abc/s3/multipart/1/complete", "confirm"),
        ("POST", "/uppy/abc/s3/arrivals", "confirm"),
        ("DELETE", "/uppy/abc/s3/multipart/1", "write"),
        ("GET", "/nothing", "read"),
        ("BREW", "/nothing", "write"),
        ("GET", "/health", None),
        ("GET", "/health/live", None),
        ("GET", "/metrics", None),
    ],
)
def test_each_request_has_one_class(method: str, path: str, expected: str | None) -> None:
    assert class_of(method, path) == expected
    assert expected is None or expected in CLASSES
