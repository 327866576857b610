"""Real video files of every sort, good and bad, made as they are asked for."""

import io
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.codec.context import Flags
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


def interlaced(which: Sequence[bool], size: tuple[int, int] = (320, 192)) -> bytes:
    """A film of so many pictures, and which of them are two halves woven together. ProRes says so of each."""
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as target:
        whole: Any = target.add_stream("prores_ks", rate=RATE)
        woven: Any = av.CodecContext.create("prores_ks", "w")
        woven.flags |= Flags.interlaced_dct
        woven.time_base = Fraction(1, RATE)
        for one in (whole, woven):
            one.width, one.height, one.pix_fmt = *size, "yuv422p10le"
        picture = quarters(*size)
        for number, is_woven in enumerate(which):
            shown: Any = VideoFrame.from_image(picture).reformat(format="yuv422p10le")  # type: ignore[no-untyped-call]
            shown.pts, shown.time_base = number, Fraction(1, RATE)
            for packet in (woven if is_woven else whole).encode(shown):
                packet.stream = whole
                target.mux(packet)
    return file.getvalue()


def then_mono(seconds: float = 1.0) -> bytes:
    """A film of twice so long, whose sound is stereo in the first half, and mono in the second."""
    rate, file = 44100, io.BytesIO()
    with av.open(file, "w", format="matroska") as target:
        video: Any = target.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        stereo: Any = target.add_stream("libmp3lame", rate=rate, layout="stereo")
        mono: Any = av.CodecContext.create("libmp3lame", "w")
        mono.rate, mono.layout, mono.format, mono.time_base = rate, "mono", "s16p", Fraction(1, rate)
        for number in range(round(2 * seconds * RATE)):
            shown: Any = VideoFrame.from_image(quarters(64, 48))  # type: ignore[no-untyped-call]
            shown.pts, shown.time_base = number, Fraction(1, RATE)
            target.mux(video.encode(shown))
        target.mux(video.encode(None))
        for channels, encoder in ((2, stereo), (1, mono)):
            for heard in [*frames(tone(seconds, rate, channels), rate, channels), None]:
                if heard is not None and channels == 1:
                    heard.pts = (heard.pts or 0) + round(seconds * rate) + 4096  # what the first has behind its end
                for packet in encoder.encode(heard):
                    packet.stream = stereo
                    target.mux(packet)
    return file.getvalue()


def stretched_beyond_measure() -> bytes:
    """A Matroska whose few pixels are to be shown 2³¹ to 1, in place of what the muxer says of no consequence."""
    body = film("video/x-matroska", 0.2, size=(64, 48), sound=False)
    said = bytes.fromhex("e08a b08140 ba8130 54b28104 55ee8100 ec01000000000000020000")
    lie = bytes.fromhex("e091 b08140 ba8130 54b08480000000 54ba8101 ec86000000000000")
    assert said in body
    return body.replace(said, lie)


def turned(mp4: bytes, degrees: float) -> bytes:
    """As a phone writes what was held upright: the pictures lie, and a matrix says how to turn them, clockwise."""
    cos, sin = (round(65536 * of(math.radians(degrees))) for of in (math.cos, math.sin))
    return with_matrix(mp4, cos, sin, -sin, cos)


def with_matrix(mp4: bytes, a: int, b: int, c: int, d: int) -> bytes:
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
