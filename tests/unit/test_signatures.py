import pytest

from mooring.uploads.signatures import picture_type


def heif(brand: bytes, *others: bytes) -> bytes:
    box = b"ftyp" + brand + b"\0\0\0\0" + b"".join(others)
    return (len(box) + 4).to_bytes(4) + box + b"\0\0\0\x10meta"


@pytest.mark.parametrize(
    ("beginning", "content_type"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"II+\0\x08\0\0\0", "image/tiff"),
        (heif(b"heic", b"mif1", b"heic"), "image/heic"),
        (heif(b"heix"), "image/heic"),
        (heif(b"mif1", b"mif1", b"heic"), "image/heic"),
        (heif(b"mif1", b"miaf", b"avif"), "image/avif"),
        (heif(b"mif1", b"miaf"), "image/heif"),
        (heif(b"avif", b"mif1", b"heic"), "image/avif"),
        (heif(b"avis"), "image/avif"),
    ],
)
def test_a_picture_is_known_by_its_first_bytes(beginning: bytes, content_type: str) -> None:
    assert picture_type(beginning + b"\0" * 64) == content_type


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG",
        b"GIF88a",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"<!DOCTYPE html>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"BM",
        heif(b"isom", b"mp42"),
        heif(b"qt  ", b"heic"),
        b"\0\0\0\x18ftyp",
        b" \xff\xd8\xff",
    ],
)
def test_anything_else_is_none(beginning: bytes) -> None:
    assert picture_type(beginning) is None


def test_brands_behind_the_box_say_nothing() -> None:
    assert picture_type(heif(b"mif1", b"miaf") + b"avif" * 8) == "image/heif"
