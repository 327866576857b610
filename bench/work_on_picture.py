"""One 12-megapixel JPEG worked on, in a process of its own: prints the CPU seconds it cost and the peak of its memory.

    python work_on_picture.py mooring|pillow FILE

Both make a `large` and a `thumb` WebP, upright, and a BlurHash. Mooring's cost is that of its whole job: the child
process that it starts, the cleaned copy, the facts. Pillow decodes all of the picture, as it does unless told of
`draft`, in a process that is there already."""

import asyncio
import io
import json
import resource
import sys
from contextlib import ExitStack
from pathlib import Path
from time import process_time

LARGE, THUMB, TINY, QUALITY = 2048, 320, 32, 80


def mooring(file: Path) -> dict[str, float]:
    from mooring.processing.recipes import photo
    from mooring.processing.sandbox import Done, Sandbox

    sandbox = Sandbox({"photo": photo(seconds=60, memory_bytes=2**30, max_pixels=10**8)})
    with ExitStack() as closing, file.open("rb") as original:
        done = asyncio.run(sandbox.develop("photo", original, "image/jpeg", closing))
    if not isinstance(done, Done):
        raise SystemExit(f"the recipe failed: {done}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def pillow(file: Path) -> dict[str, float]:
    from PIL import Image, ImageOps

    from mooring.processing.blurhash import blurhash

    began = process_time()
    with Image.open(file) as opened:
        picture = ImageOps.exif_transpose(opened)
    for longest in (LARGE, THUMB):
        smaller = picture.copy()
        smaller.thumbnail((longest, longest))
        smaller.save(io.BytesIO(), "WEBP", quality=QUALITY)
    smaller.thumbnail((TINY, TINY))
    blurhash(smaller.tobytes(), smaller.width, smaller.height)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": process_time() - began, "peak_mb": used.ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps({"mooring": mooring, "pillow": pillow}[sys.argv[1]](Path(sys.argv[2]))))
