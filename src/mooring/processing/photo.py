"""The recipe of a photo: is it what it was declared to be, smaller pictures to show, a copy for strangers, some facts.

Runs in the child process of `sandbox.py`, on bytes that nobody trusts. What moves is shown by its first picture; the
copy for strangers moves on."""

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips

from mooring.processing import exif
from mooring.processing.blurhash import blurhash
from mooring.processing.clean import CLEANERS, NotWhole
from mooring.processing.exif import Exif
from mooring.processing.probe import NAMES, NEEDED, contradiction, is_as_declared, real_type
from mooring.processing.task import Refused, Task

_NO_MEMORY = re.compile("out of memory|memory allocation|cannot allocate|insufficient memory", re.IGNORECASE)
LARGE, THUMB, TINY = 2048, 320, 32  # longest side
LARGEST_JPEG = 65_500  # pixels each way that libjpeg writes
# WebP's own default effort is 4: it costs twice as much, for files that are some 3 % smaller.
QUALITY, EFFORT = 80, 2


@dataclass(frozen=True)
class Source:
    image: pyvips.Image
    exif: Exif
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """As displayed."""
        across, down = self.image.width, self.image.height
        return (down, across) if self.orientation >= 5 else (across, down)


def develop(task: Task) -> dict[str, Any]:
    """Writes `thumb`, `large` and `clean`; says what each is, and the photo's facts."""
    with task.original.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    real = real_type(mapped[:NEEDED])
    if real is None or not is_as_declared(task.content_type, real):
        raise Refused(contradiction(task.content_type, real))
    try:
        return _develop(task.original, mapped, real, task.targets, task.limits["max_pixels"])
    except (pyvips.Error, NotWhole) as wrong:
        _raise_if_memory(wrong)
        raise Refused(f"The file can't be read as {NAMES[real]}: it is damaged or cut off.") from wrong


def _raise_if_memory(wrong: Exception) -> None:
    if _NO_MEMORY.search(str(wrong)):
        raise MemoryError from wrong


def _develop(
    original: Path, mapped: mmap.mmap, real: str, targets: Mapping[str, Path], pixel_limit: int
) -> dict[str, Any]:
    source = _opened(original, mapped, real, pixel_limit)
    width, height = source.size
    # Decoded once: the small ones are made of the large one.
    large = _shown(_shrunk(original, source, real), LARGE).copy_memory()
    thumb = _shown(large, THUMB).copy_memory()
    made = {
        "large": _webp(large, targets["large"]),
        "thumb": _webp(thumb, targets["thumb"]),
        "clean": _clean(original, mapped, source, real, targets["clean"]),
    }
    taken_at = source.exif.taken_at
    facts = {
        "width": width,
        "height": height,
        "blurhash": _blurhash(thumb),
        "camera": source.exif.camera,
        "taken_at": taken_at.isoformat() if taken_at else None,
    }
    return {"made": made, "facts": facts}


# ── reading ──


_LOADERS = {
    "image/jpeg": "jpegload",
    "image/png": "pngload",
    "image/webp": "webpload",
    "image/gif": "gifload",
    "image/avif": "heifload",
    "image/tiff": "tiffload",
}


def _opened(original: Path, mapped: mmap.mmap, real: str, pixel_limit: int) -> Source:
    """Looked at, but not decoded before it is known to be of bearable size."""
    if real not in _LOADERS:
        return _opened_heic(original, pixel_limit)
    image = _loaded(original, real)
    _check_size(image.width, image.height, pixel_limit)
    facts = mapped if real == "image/tiff" else _field(image, "exif-data")
    orientation = _field(image, "orientation") or 1
    if real == "image/avif":
        image = image.copy_memory()
    return Source(image, exif.read(facts) if facts else Exif(), orientation)


def _loaded(original: Path, real: str, **options: Any) -> pyvips.Image:
    """libtiff takes what is missing for a small mistake; others tell the two apart."""
    access = "random" if real == "image/avif" else "sequential"
    fail_on = "error" if real == "image/tiff" else "truncated"
    return pyvips.Operation.call(_LOADERS[real], str(original), access=access, fail_on=fail_on, **options)


def _opened_heic(original: Path, pixel_limit: int) -> Source:
    """libvips as it comes in its wheel has no decoder for HEVC, the video codec that phones write photos in."""
    import pillow_heif

    try:
        found = pillow_heif.open_heif(original, convert_hdr_to_8bit=True)
        across, down = found.size
        _check_size(across, down, pixel_limit)
        bands = len(found.mode)
        pixels = pyvips.Image.new_from_memory(found.data, found.stride // bands, down, bands, "uchar")
    except (ValueError, EOFError, SyntaxError, RuntimeError) as wrong:
        raise NotWhole from wrong
    image = pixels.crop(0, 0, across, down).copy(interpretation="srgb" if bands > 2 else "b-w").copy_memory()
    if profile := found.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return Source(image, exif.read(found.info.get("exif") or b""), 1)


def _check_size(width: int, height: int, pixel_limit: int) -> None:
    if width * height > pixel_limit:
        raise Refused(
            f"The picture has {width} × {height} pixels; at most {pixel_limit / 1e6:g} million are worked on."
        )


def _field(image: pyvips.Image, name: str) -> Any:
    return image.get(name) if image.get_typeof(name) else None


# ── making ──


def _shrunk(original: Path, source: Source, real: str) -> pyvips.Image:
    """libjpeg leaves out what is not needed while it decodes, by 2, 4 or 8."""
    longest = max(source.image.width, source.image.height)
    by = next((by for by in (8, 4, 2) if longest >= by * LARGE), 1)
    return source.image if real != "image/jpeg" or by == 1 else _loaded(original, real, shrink=by)


def _shown(image: pyvips.Image, longest: int) -> pyvips.Image:
    """Upright, in sRGB of 8 bits, not enlarged. Colours last: of the few pixels that are left it costs a fifth."""
    shown = image.thumbnail_image(longest, height=longest, size="down")
    if shown.get_typeof("icc-profile-data"):
        shown = shown.icc_transform("srgb", embedded=True, intent="perceptual")
    return shown.colourspace("srgb").cast("uchar")


def _webp(image: pyvips.Image, target: Path) -> dict[str, Any]:
    _save(image, "webpsave", target, Q=QUALITY, effort=EFFORT)
    return _described(image, "image/webp")


def _save(image: pyvips.Image, saver: str, target: Path, **how: Any) -> None:
    """Everything was decoded once by now: what goes wrong is no fault of the file."""
    try:
        pyvips.Operation.call(saver, image, str(target), keep="none", **how)
    except pyvips.Error as wrong:
        _raise_if_memory(wrong)
        raise OSError(str(wrong)) from wrong


def _described(image: pyvips.Image, content_type: str) -> dict[str, Any]:
    return {"content_type": content_type, "width": image.width, "height": image.height}


def _clean(original: Path, mapped: mmap.mmap, source: Source, real: str, target: Path) -> dict[str, Any]:
    """As it is where its format lets us; else written anew, full size, as what every browser shows."""
    width, height = source.size
    if real in CLEANERS:
        with target.open("wb") as file:
            file.writelines(CLEANERS[real](memoryview(mapped), source.orientation))
        return {"content_type": real, "width": width, "height": height}
    image = _shown(_loaded(original, real) if real == "image/tiff" else source.image, max(width, height))
    if image.hasalpha() or max(width, height) > LARGEST_JPEG:
        _save(image, "pngsave", target)
        return _described(image, "image/png")
    _save(image, "jpegsave", target, Q=92)
    return _described(image, "image/jpeg")


def _blurhash(image: pyvips.Image) -> str:
    tiny = _shown(image, TINY)
    if tiny.hasalpha():
        tiny = tiny.flatten(background=[255])
    return blurhash(bytes(tiny.write_to_memory()), tiny.width, tiny.height)
