"""Real picture files of every sort, good and bad, made as they are asked for."""

import io
from collections.abc import Iterable, Sequence
from struct import pack
from typing import Any

import pillow_heif
from PIL import Image, ImageCms, ImageDraw

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 40), (30, 40, 220), (230, 220, 40)
CORNERS = (RED, GREEN, BLUE, YELLOW)  # left and right above, left and right below
SECRETS = (b"Ada Lovelace", b"GPS of her house", b"SecretCam")


def quarters(width: int = 120, height: int = 80, mode: str = "RGB") -> Image.Image:
    """Each corner of another colour, so that it shows which way up it is."""
    picture = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(picture)
    half, middle = width // 2, height // 2
    draw.rectangle((half, 0, width, middle), GREEN)
    draw.rectangle((0, middle, half, height), BLUE)
    draw.rectangle((half, middle, width, height), YELLOW)
    return picture.convert(mode)


def detailed(width: int, height: int) -> Image.Image:
    """As hard to compress as a photo."""
    noise = Image.effect_noise((width // 8, height // 8), 60).resize((width, height), Image.Resampling.BICUBIC)
    return Image.merge("RGB", [noise, noise.rotate(180), Image.linear_gradient("L").resize((width, height))])


def written(picture: Image.Image, form: str, **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def secretive_exif(orientation: int = 1) -> Image.Exif:
    """What a phone writes, with everything that nobody else should read."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "SecretCam", "SecretCam 9\0"
    exif[0x0112], exif[0x013B] = orientation, "Ada Lovelace"
    inner = exif.get_ifd(0x8769)
    inner[0x9003], inner[0x9011] = "2024:05:06 07:08:09", "+09:00"
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (37.0, 33.0, 0.0), "E", (126.0, 58.0, 0.0)
    place[0x1B] = b"GPS of her house"
    return exif


def jpeg(picture: Image.Image | None = None, **how: Any) -> bytes:
    return written(picture or quarters(), "JPEG", **{"quality": 92, **how})


def srgb_profile() -> bytes:
    """It says when it was made, so no two are equal."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def animated(form: str, frames: int = 3, **how: Any) -> bytes:
    first, *others = [Image.new("RGB", (60, 40), colour) for colour in CORNERS[:frames]]
    return written(first, form, save_all=True, append_images=others, duration=100, loop=0, **how)


def heic(picture: Image.Image | None = None, **how: Any) -> bytes:
    return _heif(picture or quarters(), **how)


def avif(picture: Image.Image | None = None, **how: Any) -> bytes:
    return written(picture or quarters(), "AVIF", **how)


def _heif(picture: Image.Image, **how: Any) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, **{"quality": 90, **how})
    return file.getvalue()


# ── HEIC as phones write it: a grid of tiles that were coded each for itself ──


def heic_grid(picture: Image.Image, tile: int = 64, *, turned: int = 0) -> bytes:
    """`turned`: quarters to turn it by, anti-clockwise, when shown."""
    across, down = -(-picture.width // tile), -(-picture.height // tile)
    padded = Image.new("RGB", (across * tile, down * tile))
    padded.paste(picture)
    places = [(x * tile, y * tile) for y in range(down) for x in range(across)]
    tiles = [_heif(padded.crop((x, y, x + tile, y + tile)), chroma=420) for x, y in places]
    coded = [_inside(one, b"mdat") for one in tiles]
    setup = box(b"hvcC", _inside(tiles[0], b"meta", b"iprp", b"ipco", b"hvcC"))
    ftyp = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(ftyp) + len(_grid_meta(picture, tile, across, down, setup, coded, turned, 0)) + 8
    meta = _grid_meta(picture, tile, across, down, setup, coded, turned, start)
    return ftyp + meta + box(b"mdat", *coded)


def _grid_meta(
    picture: Image.Image, tile: int, across: int, down: int, setup: bytes, coded: Sequence[bytes], turned: int, at: int
) -> bytes:
    grid = len(coded) + 1
    items = [(number, b"hvc1", 1) for number in range(1, grid)] + [(grid, b"grid", 0)]
    entries = [full(b"infe", 2, hidden, pack(">HH", number, 0), kind, b"\0") for number, kind, hidden in items]
    rotation = box(b"irot", bytes((turned,)))
    tile_size, size = (full(b"ispe", 0, 0, pack(">II", *both)) for both in ((tile, tile), picture.size))
    of_tiles = b"".join(pack(">HBBB", number, 2, 0x81, 0x02) for number in range(1, grid))
    owned = full(b"ipma", 0, 0, pack(">I", grid), of_tiles, pack(">HBBB", grid, 2, 0x03, 0x84))
    return full(
        b"meta", 0, 0,
        full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        full(b"pitm", 0, 0, pack(">H", grid)),
        full(b"iinf", 0, 0, pack(">H", grid), *entries),
        full(b"iref", 0, 0, box(b"dimg", pack(f">HH{grid - 1}H", grid, grid - 1, *range(1, grid)))),
        box(b"iprp", box(b"ipco", setup, tile_size, size, rotation), owned),
        _locations(coded, at),
        box(b"idat", pack(">BBBBHH", 0, 0, down - 1, across - 1, *picture.size)),
    )  # fmt: skip


def _locations(coded: Sequence[bytes], at: int) -> bytes:
    rows = []
    for number, one in enumerate(coded, 1):
        rows.append(pack(">HHHHII", number, 0, 0, 1, at, len(one)))
        at += len(one)
    rows.append(pack(">HHHHII", len(coded) + 1, 1, 0, 1, 0, 8))
    return full(b"iloc", 1, 0, b"\x44\x00", pack(">H", len(rows)), *rows)


def box(name: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return pack(">I", len(inside) + 8) + name + inside


def full(name: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return box(name, pack(">I", version << 24 | flags), *content)


def _inside(file: bytes, *path: bytes) -> bytes:
    for name in path:
        file = next(content for found, content in boxes(file) if found == name)
        file = file[4:] if name == b"meta" else file
    return file


def boxes(file: bytes) -> Iterable[tuple[bytes, bytes]]:
    at = 0
    while at < len(file):
        size = int.from_bytes(file[at : at + 4], "big") or len(file) - at
        yield file[at + 4 : at + 8], file[at + 8 : at + size]
        at += size
