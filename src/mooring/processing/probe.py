"""What a file really is, by its first bytes. A name and a label say nothing."""

NEEDED = 64  # bytes

NAMES = {
    "image/jpeg": "a JPEG",
    "image/png": "a PNG",
    "image/webp": "a WebP",
    "image/gif": "a GIF",
    "image/heic": "a HEIC",
    "image/heif": "a HEIF",
    "image/avif": "an AVIF",
    "image/tiff": "a TIFF",
    "image/svg+xml": "an SVG",
    "text/html": "an HTML page",
    "application/zip": "a ZIP archive",
    "application/pdf": "a PDF",
    "video/mp4": "a video",
}
_BEGINNINGS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"II+\0": "image/tiff",
    b"MM\0+": "image/tiff",
    b"PK\x03\x04": "application/zip",
    b"%PDF-": "application/pdf",
}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
_HEIF = {b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}


def real_type(head: bytes) -> str | None:
    """None: nothing we know."""
    for beginning, content_type in _BEGINNINGS.items():
        if head.startswith(beginning):
            return content_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return _container(head) if head[4:8] == b"ftyp" else _text(head)


def _container(head: bytes) -> str:
    """The brand first named counts; one that says only "some HEIF" leaves it to the others."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] in _HEIF:
        brands = [*(brand for brand in brands if brand in _HEIC | _AVIF), brands[0]]
    if brands[0] in _AVIF:
        return "image/avif"
    if brands[0] in _HEIC:
        return "image/heic"
    return "image/heif" if brands[0] in _HEIF else "video/mp4"


def _text(head: bytes) -> str | None:
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begins.startswith((b"<!doctype html", b"<html", b"<script", b"<head", b"<body")):
        return "text/html"
    return "image/svg+xml" if begins.startswith((b"<svg", b"<?xml", b"<!doctype svg")) else None


def is_as_declared(declared: str, real: str | None) -> bool:
    """HEIC is a kind of HEIF: browsers and phones call it either."""
    return declared == real or {declared, real} == {"image/heic", "image/heif"}


def contradiction(declared: str, real: str | None) -> str:
    """The sentence that tells a person."""
    called = NAMES.get(declared, declared)
    if real is None:
        return f"The file was declared to be {called}, and is no picture that we know."
    return f"The file was declared to be {called}, and is really {NAMES[real]}."
