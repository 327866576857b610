"""Real files of sound, of every sort, good and bad, made as they are asked for."""

import io
import math
import struct
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame

# How each type is written: container, codec, sample rate.
WRITTEN: dict[str, tuple[str, str, int]] = {
    "audio/wav": ("wav", "pcm_s16le", 44100),
    "audio/flac": ("flac", "flac", 44100),
    "audio/mpeg": ("mp3", "libmp3lame", 44100),
    "audio/mp4": ("ipod", "aac", 44100),
    "audio/ogg": ("ogg", "libopus", 48000),
    "audio/webm": ("webm", "libopus", 48000),
    "audio/aac": ("adts", "aac", 44100),
}
DURATION = b"\x44\x89\x88"  # an element of WebM; a double follows


def tone(seconds: float, rate: int = 44100, channels: int = 1, loud: float = 0.5) -> bytes:
    """Samples of 16 bits, silent in the second half."""
    count = round(seconds * rate)
    heard = (
        round(loud * 32767 * math.sin(2 * math.pi * 440 * at / rate)) if at < count / 2 else 0 for at in range(count)
    )
    return b"".join(struct.pack("<h", sample) * channels for sample in heard)


def sound(content_type: str = "audio/mpeg", seconds: float = 1.0, *, channels: int = 1, **metadata: Any) -> bytes:
    form, codec, rate = WRITTEN[content_type]
    return written(form, codec, tone(seconds, rate, channels), rate, channels, **metadata)


def written(
    form: str,
    codec: str,
    samples: bytes,
    rate: int,
    channels: int = 1,
    *,
    begins_again_at: int = 0,
    **metadata: Any,
) -> bytes:
    """`begins_again_at`: in samples, where the second half is on its clock."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as target:
        target.metadata.update(metadata)
        stream: Any = target.add_stream(codec, rate=rate, layout="mono" if channels == 1 else "stereo")
        for frame in frames(samples, rate, channels):
            assert frame.pts is not None
            if begins_again_at and frame.pts > len(samples) // 4 // channels:
                frame.pts += begins_again_at
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return file.getvalue()


def frames(samples: bytes, rate: int, channels: int = 1, at_once: int = 4096) -> list[AudioFrame]:
    made = []
    for at in range(0, len(samples), at_once * 2 * channels):
        piece = samples[at : at + at_once * 2 * channels]
        frame = AudioFrame("s16", "mono" if channels == 1 else "stereo", len(piece) // 2 // channels)
        frame.planes[0].update(piece)
        frame.sample_rate, frame.pts, frame.time_base = rate, at // 2 // channels, Fraction(1, rate)
        made.append(frame)
    return made


def as_browsers_record(body: bytes) -> bytes:
    """WebM that says nothing of its length, as what is written while it is recorded."""
    at = body.index(DURATION)
    return body[:at] + b"\xec\x89" + bytes(9) + body[at + 11 :]  # Void


def wav(seconds_said: float, samples: bytes, rate: int = 8000) -> bytes:
    """One that claims to last so long."""
    claimed = round(seconds_said * rate) * 2
    return (
        b"RIFF" + struct.pack("<I", claimed + 36) + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16) + b"data" + struct.pack("<I", claimed) + samples
    )  # fmt: skip


def length_said(webm: bytes, seconds: int) -> bytes:
    """A WebM that claims to last so long."""
    at = webm.index(DURATION)
    return webm[: at + 3] + struct.pack(">d", seconds * 1000) + webm[at + 11 :]


def read(body: bytes) -> Any:
    """What a player finds in it."""
    return av.open(io.BytesIO(body))
