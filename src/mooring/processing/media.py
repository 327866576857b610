"""What recordings and videos have in common: files of sound and pictures, opened with FFmpeg's libraries.

The bytes say what a file is; its label does not. Only formats that people record in are read: others would also open
what a file names, be it on this machine or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import ExternalError, FFmpegError
from av.packet import Packet
from av.stream import Stream

from mooring.processing.probe import NAMES, NEEDED, real_type
from mooring.processing.task import Refused

READABLE = {
    "format_whitelist": "mov,matroska,webm,ogg,mp3,wav,flac,aac",
    "protocol_whitelist": "file",
}
_BEGINNINGS = {
    b"RIFF": "a WAV",
    b"fLaC": "a FLAC",
    b"OggS": "an Ogg",
    b"ID3": "an MP3",
    b"\xff\xfb": "an MP3",
    b"\x1aE\xdf\xa3": "a WebM or Matroska",
}
MP4 = {"movflags": "+faststart", "fflags": "+bitexact"}
# What AAC and every player of it know.
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
STRANGE_RATES = (1_000, 768_000)
FASTER = {"aac_coder": "fast"}  # a third less work than the usual one, and no worse at these bit rates
BIT_RATES = {"mono": 96_000, "stereo": 128_000}


def opened(original: Path, kind: str) -> InputContainer:
    try:
        return av.open(str(original), "r", options=READABLE, metadata_errors="replace")
    except FFmpegError as wrong:
        _raise_if_memory(wrong)
        with original.open("rb") as file:
            raise Refused(_unreadable(file.read(NEEDED), kind)) from wrong


def damaged(wrong: Exception, kind: str) -> Refused:
    _raise_if_memory(wrong)
    if isinstance(wrong, OSError):  # of writing: what can't be read is left out, or refused before
        raise OSError(str(wrong)) from wrong
    return Refused(f"The {kind} can't be read: the file is damaged or cut off.")


def _raise_if_memory(wrong: Exception) -> None:
    """x264 says no more than that it could not; of what it is given it minds nothing."""
    if isinstance(wrong, MemoryError | ExternalError):
        raise MemoryError from wrong


def _unreadable(head: bytes, kind: str) -> str:
    called = next((name for begins, name in _BEGINNINGS.items() if head.startswith(begins)), None)
    real = real_type(head)
    if real == "video/mp4":
        called = "an MP4"
    if called:
        return f"The file can't be read as {called}: it is damaged or cut off."
    return f"The file is really {NAMES[real]}, and no {kind}." if real else f"The file is no {kind} that we know."


def frames_of(packet: Packet[Any]) -> list[Any]:
    """What can be decoded of it: a bad moment does not spoil the whole."""
    try:
        return packet.decode()
    except FFmpegError as wrong:
        _raise_if_memory(wrong)
        return []


def packets_of(source: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """To the end, or as far as they can be read."""
    packets = source.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError as wrong:
            _raise_if_memory(wrong)
            return
        yield packet


class Steady:
    """Sound in the form that it began with: a file may go on with other channels, or at another rate."""

    def __init__(self, rate: int | None = None) -> None:
        self._rate = rate  # None: that of the first frame
        self._steady: tuple[str, str, int] | None = None
        self._now: tuple[str, str, int] | None = None
        self._changing: AudioResampler | None = None

    def frames(self, frame: AudioFrame) -> list[AudioFrame]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form == self._now:
            return self._changing.resample(frame) if self._changing else [frame]
        check_rate(frame.sample_rate)
        rest = self.rest()
        self._now, self._steady = form, self._steady or (*form[:2], self._rate or form[2])
        self._changing = AudioResampler(*self._steady) if form != self._steady else None
        return rest + self.frames(frame)

    def rest(self) -> list[AudioFrame]:
        """Of what was changed, what waited for more. What follows begins anew."""
        rest = self._changing.resample(None) if self._changing else []
        self._now = self._changing = None
        return rest


def playable_rate(rate: int) -> int:
    return next((known for known in RATES if known >= rate), RATES[-1])


def check_rate(rate: int) -> None:
    least, most = STRANGE_RATES
    if not least <= rate <= most:
        raise Refused(f"The file says that it has {rate} samples a second: that can't be played.")


def lasting(seconds: float) -> str:
    """For people: hours where there are any."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours and minutes else f"{hours} h" if hours else f"{seconds:g} seconds"
