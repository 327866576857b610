"""Real video files of every sort, good and bad, made as they are asked for."""

import io
import struct
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from PIL import Image

from pictures import quarters
from sounds import frames, tone

# How each type is written: container, codecs of pictures and sound, rate of the sound.
WRITTEN: dict[str, tuple[str, str, str, int]] = {
    "video/mp4": ("mp4", "libx264", "aac", 44100),
    "video/quicktime": ("mov", "libx264", "aac", 44100),
    "video/webm": ("webm", "libvpx", "libopus", 48000),
    "video/x-matroska": ("matroska", "libx264", "libopus", 48000),
}
RATE = 10  # frames a second


def free_space(size: int) -> bytes:
    """What an MP4 may end with, to become as large as one likes."""
    return struct.pack(">I4s", size, b"free").ljust(size, b"\0")


def film(
    content_type: str = "video/mp4",
    seconds: float = 1.0,
    *,
    size: tuple[int, int] = (320, 180),
    sound: bool = True,
    picture: Image.Image | None = None,
    then: Image.Image | None = None,
    second_half: Image.Image | None = None,
    rate: int = RATE,
    stretched: str | None = None,
    **metadata: str,
) -> bytes:
    """Each corner of another colour, so that it shows which way up it is. `then`: from the second frame on."""
    form, codec, sound_codec, sound_rate = WRITTEN[content_type]
    file = io.BytesIO()
    with av.open(file, "w", format=form) as target:
        target.metadata.update(metadata)
        video: Any = target.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio: Any = target.add_stream(sound_codec, rate=sound_rate, layout="mono") if sound else None
        if stretched:
            video.codec_context.sample_aspect_ratio = Fraction(stretched.replace(":", "/"))
        first = picture or quarters(*size)
        count = round(seconds * rate)
        for number in range(count):
            image = first if number == 0 else then or first
            shown: Any = VideoFrame.from_image(  # type: ignore[no-untyped-call]
                second_half if second_half and number >= count / 2 else image
            )
            shown.pts, shown.time_base = number, Fraction(1, rate)
            target.mux(video.encode(shown))
        if audio:
            for heard in frames(tone(seconds, sound_rate), sound_rate):
                target.mux(audio.encode(heard))
            target.mux(audio.encode(None))
        target.mux(video.encode(None))
    return file.getvalue()


def turned(mp4: bytes, degrees: int) -> bytes:
    """As a phone writes what was held upright: the pictures lie, and a matrix says how to turn them, clockwise."""
    one = 1 << 16
    matrices = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}
    a, b, c, d = matrices[degrees]
    at = mp4.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return mp4[:at] + matrix + mp4[at + 36 :]


def read(body: bytes) -> Any:
    return av.open(io.BytesIO(body))


def pictures_of(body: bytes) -> list[Image.Image]:
    with read(body) as played:
        return [frame.to_image() for frame in played.decode(video=0)]


def heard_in(body: bytes) -> list[AudioFrame]:
    with read(body) as played:
        return list(played.decode(audio=0))


def loudness_of(body: bytes) -> list[tuple[float, float]]:
    """When, and the greatest sample there."""
    loud = []
    for frame in heard_in(body):
        samples = struct.unpack(f"<{frame.samples}f", bytes(frame.planes[0])[: frame.samples * 4])
        loud.append((float(frame.time or 0), max(map(abs, samples))))
    return loud
