"""The recipe of a photo, on real files of every sort, in the child process that a worker starts."""

import io
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageSequence

import children
import pictures
from children import Developed, photo_recipe, run
from mooring.processing.sandbox import Spoiled, nameless
from pictures import BLUE, CORNERS, GREEN, RED, SECRETS, YELLOW, jpeg, quarters, secretive_exif, written

TURNED = {6: (BLUE, RED, YELLOW, GREEN), 8: (GREEN, YELLOW, RED, BLUE), 3: (YELLOW, BLUE, GREEN, RED)}
TURNED |= {2: (GREEN, RED, YELLOW, BLUE), 5: (RED, BLUE, GREEN, YELLOW), 1: CORNERS}


async def developed(body: bytes, content_type: str = "image/jpeg", **limits: int) -> Developed:
    out = await children.developed(photo_recipe(**limits), "photo", body, content_type)
    assert set(out.files) == {"thumb", "large", "clean"}
    return out


async def spoiled(body: bytes, content_type: str = "image/jpeg", **limits: int) -> Spoiled:
    return await children.spoiled(photo_recipe(**limits), "photo", body, content_type)


def picture(out: Developed, name: str) -> Image.Image:
    return Image.open(io.BytesIO(out.files[name]))


def shows(picture: Image.Image, corners: tuple[tuple[int, int, int], ...] = CORNERS, off: int = 25) -> bool:
    """Whether it is of these colours: above left and right, below left and right."""
    seen = picture.convert("RGB")
    across, down = seen.size
    places = [(x, y) for y in (down // 4, down * 3 // 4) for x in (across // 4, across * 3 // 4)]
    found = [seen.getpixel(place) for place in places]
    return all(
        abs(a - b) <= off
        for one, other in zip(found, corners, strict=True)
        for a, b in zip(one, other, strict=True)  # type: ignore[arg-type]
    )


# ── what comes out ──


async def test_a_photo_gets_a_thumb_a_large_one_a_clean_copy_and_its_facts() -> None:
    out = await developed(jpeg(quarters(3000, 2000), exif=secretive_exif()), max_pixels=10**8)
    assert out.types == {"thumb": "image/webp", "large": "image/webp", "clean": "image/jpeg"}
    assert out.sizes == {"thumb": (320, 213), "large": (2048, 1365), "clean": (3000, 2000)}
    for name, size in out.sizes.items():
        shown = picture(out, name)
        assert shown.size == size
        assert shows(shown), name
    assert 20 <= len(out.facts["blurhash"]) <= 30
    assert {name: out.facts[name] for name in out.facts if name != "blurhash"} == {
        "width": 3000,
        "height": 2000,
        "camera": "SecretCam 9",
        "taken_at": "2024-05-05T22:08:09+00:00",
    }


async def test_a_small_photo_is_not_enlarged() -> None:
    out = await developed(jpeg(quarters(100, 60)))
    assert out.sizes == {"thumb": (100, 60), "large": (100, 60), "clean": (100, 60)}


@pytest.mark.parametrize("orientation", TURNED)
async def test_every_rendition_stands_upright(orientation: int) -> None:
    out = await developed(jpeg(quarters(), exif=secretive_exif(orientation)))
    upright = (80, 120) if orientation >= 5 else (120, 80)
    assert (out.facts["width"], out.facts["height"]) == upright
    for name in ("thumb", "large"):
        assert picture(out, name).size == upright
        assert shows(picture(out, name), TURNED[orientation]), name
    assert picture(out, "clean").getexif().get(0x0112, 1) == orientation, "browsers turn it by this"


@pytest.mark.parametrize(
    ("content_type", "make"),
    [
        ("image/jpeg", lambda exif: jpeg(exif=exif, comment=b"Ada Lovelace")),
        ("image/jpeg", lambda exif: jpeg(exif=exif, progressive=True)),
        ("image/png", lambda exif: written(quarters(), "PNG", exif=exif)),
        ("image/webp", lambda exif: written(quarters(), "WEBP", exif=exif, xmp=b"<x>Ada Lovelace</x>")),
        ("image/tiff", lambda exif: written(quarters(), "TIFF", exif=exif)),
        ("image/gif", lambda exif: written(quarters(), "GIF", comment=b"Ada Lovelace, GPS of her house, SecretCam")),
        ("image/heic", lambda exif: pictures.heic(exif=exif.tobytes())),
        ("image/avif", lambda exif: pictures.avif(exif=exif.tobytes())),
    ],
    ids=["jpeg", "progressive jpeg", "png", "webp", "tiff", "gif", "heic", "avif"],
)
async def test_nothing_that_is_made_tells_who_took_it_where_or_with_what(
    content_type: str, make: Callable[[Image.Exif], bytes]
) -> None:
    body = make(secretive_exif())
    assert SECRETS[0] in body
    out = await developed(body, content_type)
    told = [(name, secret) for name, made in out.files.items() for secret in SECRETS if secret in made]
    assert told == []
    for name in out.files:
        assert shows(picture(out, name)), name
        exif = picture(out, name).getexif()
        assert set(exif) <= {0x0112}, name
        assert not exif.get_ifd(0x8825), name


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
async def test_a_clean_copy_that_lies_on_its_side_still_says_so(form: str) -> None:
    out = await developed(written(quarters(), form, exif=secretive_exif(6)), f"image/{form.lower()}")
    assert dict(picture(out, "clean").getexif()) == {0x0112: 6}
    assert shows(picture(out, "large"), TURNED[6])


async def test_a_clean_jpeg_is_the_same_picture_bit_by_bit() -> None:
    body = jpeg(pictures.detailed(640, 480), exif=secretive_exif())
    out = await developed(body)
    assert len(out.files["clean"]) < len(body)
    assert picture(out, "clean").tobytes() == Image.open(io.BytesIO(body)).tobytes()


async def test_a_clean_jpeg_keeps_its_colours() -> None:
    profile = pictures.srgb_profile()
    out = await developed(jpeg(icc_profile=profile, exif=secretive_exif()))
    assert picture(out, "clean").info["icc_profile"] == profile
    assert "icc_profile" not in picture(out, "large").info
    assert shows(picture(out, "large"))


# ── odd, and good ──


@pytest.mark.parametrize("turned", [0, 1])
async def test_a_heic_of_tiles_as_phones_write_it(turned: int) -> None:
    body = pictures.heic_grid(quarters(300, 200), tile=64, turned=turned)
    assert body.count(b"infe") == 21, "20 tiles and the grid"
    out = await developed(body, "image/heic")
    assert out.sizes["large"] == ((200, 300) if turned else (300, 200))
    assert shows(picture(out, "large"), (GREEN, YELLOW, RED, BLUE) if turned else CORNERS)
    assert shows(picture(out, "thumb"), (GREEN, YELLOW, RED, BLUE) if turned else CORNERS)
    assert out.types["clean"] == "image/jpeg"


async def test_heic_is_heif_by_another_name() -> None:
    assert shows(picture(await developed(pictures.heic(), "image/heif"), "large"))


async def test_a_picture_of_ten_bits() -> None:
    deep = pillow_heif.from_bytes("RGB;16", (60, 40), b"\x00\xff" * 60 * 40 * 3)
    file = io.BytesIO()
    deep.save(file, quality=90)
    out = await developed(file.getvalue(), "image/heic")
    assert shows(picture(out, "large"), ((255, 255, 255),) * 4)


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
async def test_what_moves_is_shown_by_its_first_picture_and_its_clean_copy_moves(form: str) -> None:
    how: dict[str, Any] = {"xmp": b"<x>Ada Lovelace</x>"} if form == "WEBP" else {"comment": b"Ada Lovelace"}
    out = await developed(pictures.animated(form, **how), f"image/{form.lower()}")
    assert shows(picture(out, "large"), (RED,) * 4)
    assert picture(out, "large").format == "WEBP"
    clean = picture(out, "clean")
    assert [shows(frame.copy(), (colour,) * 4, 40) for frame, colour in zip(
        ImageSequence.Iterator(clean), CORNERS, strict=False)] == [True] * 3  # fmt: skip
    assert clean.format == form
    assert clean.info["loop"] == 0
    assert SECRETS[0] not in out.files["clean"]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
async def test_what_is_transparent_stays_so(form: str) -> None:
    source = quarters(mode="RGBA")
    source.putalpha(Image.linear_gradient("L").resize(source.size))
    out = await developed(written(source, form), f"image/{form.lower()}")
    for name in out.files:
        seen = picture(out, name).convert("RGBA").getchannel("A")
        low, high = seen.getextrema()
        assert low < 5, name  # type: ignore[operator]
        assert high > 250, name  # type: ignore[operator]
    assert out.types["clean"] == ("image/png" if form == "TIFF" else f"image/{form.lower()}")


async def test_what_is_too_long_for_a_jpeg_is_cleaned_to_a_png() -> None:
    out = await developed(written(Image.new("RGB", (66_000, 4), RED), "TIFF"), "image/tiff")
    assert (out.types["clean"], out.sizes["clean"]) == ("image/png", (66_000, 4))
    assert shows(picture(out, "clean"), (RED,) * 4)


async def test_cmyk_becomes_what_a_screen_shows() -> None:
    out = await developed(jpeg(quarters(mode="CMYK")))
    assert picture(out, "large").mode == "RGB"
    assert shows(picture(out, "large"), off=110), "print has no such red"


async def test_sixteen_bits_become_eight() -> None:
    rows = b"".join(b"\0" + pack(">180H", *([0x8000, 0, 0xFFFF] * 60)) for _ in range(40))
    chunks = [(b"IHDR", pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(content)) + name + content + pack(">I", zlib.crc32(name + content)) for name, content in chunks
    )
    out = await developed(body, "image/png")
    assert shows(picture(out, "large"), ((128, 0, 255),) * 4)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
async def test_grey_black_and_white_and_palettes(mode: str) -> None:
    out = await developed(written(quarters(mode=mode), "PNG"), "image/png")
    assert picture(out, "large").mode == "RGB"
    assert out.facts["blurhash"]


async def test_a_jpeg_that_is_also_a_web_page_or_an_archive_is_cleaned_of_both() -> None:
    page = b"<html><script>alert('Ada Lovelace')</script></html>"
    file = io.BytesIO(jpeg(comment=page))
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("secret.txt", "GPS of her house")
    body = file.getvalue()
    assert zipfile.is_zipfile(io.BytesIO(body))
    assert page in body
    out = await developed(body)
    for name, made in out.files.items():
        assert not zipfile.is_zipfile(io.BytesIO(made)), name
        assert b"script" not in made, name
    assert out.files["clean"].endswith(b"\xff\xd9")
    assert shows(picture(out, "clean"))


# ── bad ──


@pytest.mark.parametrize("kept", [0.3, 0.9])
@pytest.mark.parametrize(
    ("content_type", "body", "called"),
    [
        ("image/jpeg", jpeg(pictures.detailed(400, 300)), "a JPEG"),
        ("image/png", written(pictures.detailed(400, 300), "PNG"), "a PNG"),
        ("image/webp", written(pictures.detailed(400, 300), "WEBP"), "a WebP"),
        ("image/gif", written(pictures.detailed(400, 300), "GIF"), "a GIF"),
        ("image/tiff", written(pictures.detailed(400, 300), "TIFF"), "a TIFF"),
        ("image/heic", pictures.heic(pictures.detailed(400, 300)), "a HEIC"),
        ("image/avif", pictures.avif(pictures.detailed(400, 300)), "an AVIF"),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else "",
)
async def test_what_was_cut_off_is_told_so(content_type: str, body: bytes, called: str, kept: float) -> None:
    outcome = await spoiled(body[: int(len(body) * kept)], content_type)
    assert (outcome.reason, outcome.is_final) == (
        f"The file can't be read as {called}: it is damaged or cut off.",
        True,
    )


@pytest.mark.parametrize(
    ("body", "really"),
    [
        (written(quarters(), "PNG"), "really a PNG."),
        (pictures.avif(), "really an AVIF."),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "really an SVG."),
        (b"\n <!DOCTYPE html><script>alert(1)</script>", "really an HTML page."),
        (b"%PDF-1.7 and so on", "really a PDF."),
        (b"PK\x03\x04 and so on", "really a ZIP archive."),
        (b"\0\0\0\x18ftypmp42 and so on", "really a video."),
        (b"not really a picture", "no picture that we know."),
    ],
)
async def test_what_is_not_what_it_was_declared_to_be_is_told_so(body: bytes, really: str) -> None:
    outcome = await spoiled(body)
    assert outcome.reason.startswith("The file was declared to be a JPEG, and is ")
    assert outcome.reason.endswith(really)
    assert outcome.is_final


SEVEN_TIMES = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))  # Adam7: every so manieth column and line


def bomb(width: int, height: int, *, interlaced: bool = False) -> bytes:
    """A small file of a huge black picture."""
    passes = SEVEN_TIMES if interlaced else ((1, 1),)
    packed = zlib.compressobj(9)
    lines = [(b"\0" * (width // across // 8 + 1), height // down) for across, down in passes]
    body = b"".join(packed.compress(line) for line, count in lines for _ in range(count)) + packed.flush()
    chunks = [(b"IHDR", pack(">IIBBBBB", width, height, 1, 0, 0, 0, interlaced)), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(content)) + name + content + pack(">I", zlib.crc32(name + content)) for name, content in chunks
    )


async def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    body = bomb(20_000, 20_000)
    assert len(body) < 200_000
    outcome = await spoiled(body, "image/png")
    assert outcome.reason == "The picture has 20000 × 20000 pixels; at most 1 million are worked on."
    assert outcome.is_final


@pytest.mark.parametrize(
    ("content_type", "make"),
    [
        ("image/png", lambda: bomb(24_000, 24_000, interlaced=True)),
        ("image/jpeg", lambda: jpeg(Image.new("RGB", (8000, 8000)), progressive=True, subsampling=0)),
    ],
    ids=["png", "jpeg"],
)
async def test_what_needs_too_much_memory_ends_the_child_and_not_us(
    content_type: str, make: Callable[[], bytes]
) -> None:
    """Neither an interlaced picture nor a progressive one can be read line by line."""
    outcome = await spoiled(make(), content_type, memory_bytes=2**28, max_pixels=10**9)
    assert outcome.reason == "Working on the file needs more than 256 MB of memory."
    assert outcome.is_final


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/jpeg", jpeg()),
        ("image/tiff", written(quarters(), "TIFF")),
        ("image/tiff", written(quarters(mode="RGBA"), "TIFF")),
    ],
    ids=["jpeg", "tiff", "transparent tiff"],
)
@pytest.mark.parametrize("only", [0, 1, 2], ids=["thumb", "large", "clean"])
async def test_a_full_disk_is_no_fault_of_the_photo(
    monkeypatch: pytest.MonkeyPatch, content_type: str, body: bytes, only: int
) -> None:
    """Where there is room for all but one."""
    files = iter([children.full() if at == only else nameless() for at in range(3)])
    monkeypatch.setattr("mooring.processing.sandbox.nameless", lambda: next(files))
    outcome = await spoiled(body, content_type)
    assert (outcome.reason, outcome.is_final) == ("This server could not work on the file.", False)


async def test_what_takes_too_long_is_ended() -> None:
    body = jpeg(Image.new("RGB", (9000, 9000)))
    outcome = await spoiled(body, memory_bytes=2**32, seconds=0, max_pixels=10**9)
    assert outcome.reason == "Working on the file took longer than 0 seconds."
    assert not outcome.is_final


async def test_a_child_that_crashes_is_a_reason_and_worth_another_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr("mooring.processing.sandbox.sys.executable", str(crash))
    outcome = await spoiled(jpeg())
    assert outcome.reason == "The file made the program crash that reads it."
    assert not outcome.is_final


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
async def test_noise_in_a_file_is_a_reason_or_a_picture_and_never_a_crash(form: str) -> None:
    whole = bytearray(written(quarters(), form, **({} if form == "GIF" else {"exif": secretive_exif()})))
    for seed in range(6):
        luck = random.Random(seed)
        body = bytearray(whole)
        for _ in range(12):
            body[luck.randrange(16, len(body))] = luck.randrange(256)
        outcome = await run(photo_recipe(), "photo", bytes(body), f"image/{form.lower()}")
        assert not isinstance(outcome, Spoiled) or outcome.is_final, (seed, outcome)
