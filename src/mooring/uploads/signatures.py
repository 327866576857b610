"""What a file is by its first bytes, whatever its name and its sender say. Only the kinds of picture that a photo may
be: that it is whole and harmless is for processing to find out."""

ENOUGH = 64  # bytes; with fewer a HEIF may be taken for its family only

_STARTS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),  # BigTIFF
    (b"MM\x00+", "image/tiff"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic"),
}
_FAMILY = (b"mif1", b"msf1")  # of HEIC and AVIF: which one stands among the brands that follow


def picture_type(beginning: bytes) -> str | None:
    for start, content_type in _STARTS:
        if beginning.startswith(start):
            return content_type
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    return _heif_type(beginning) if beginning[4:8] == b"ftyp" else None


def _heif_type(beginning: bytes) -> str | None:
    """ISO 14496-12's first box: its length, `ftyp`, the brand, a version, the brands it is compatible with."""
    brand = beginning[8:12]
    if brand in _BRANDS:
        return _BRANDS[brand]
    if brand not in _FAMILY:
        return None
    box = beginning[16 : int.from_bytes(beginning[:4])]
    others = (box[place : place + 4] for place in range(0, len(box), 4))
    return next((_BRANDS[other] for other in others if other in _BRANDS), "image/heif")
