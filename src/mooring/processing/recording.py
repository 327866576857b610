"""The recipe of a recording: the sound of it as every player knows it, its waveform, how long it really lasts.

Runs in the child process of `sandbox.py`. How long it lasts is counted in samples that were decoded: browsers write no
length into what they record, and others may write anything."""

import json
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError

from mooring.processing.media import (
    BIT_RATES,
    FASTER,
    MP4,
    Steady,
    check_rate,
    damaged,
    frames_of,
    lasting,
    opened,
    packets_of,
    playable_rate,
)
from mooring.processing.peaks import Peaks
from mooring.processing.task import Refused, Task

AT_ONCE = 8192  # samples: fewer, larger pieces


def develop(task: Task) -> dict[str, Any]:
    """Writes `audio` and `peaks`. Of a file that is cut off, what is there."""
    with opened(task.original, "recording") as source:
        stream = source.streams.best("audio")
        if not isinstance(stream, AudioStream) or not stream.codec_context:
            raise Refused("There is no sound in the file that we can read.")
        try:
            sound = Sound(task, stream)
            for packet in packets_of(source, stream):
                for frame in frames_of(packet):
                    sound.add(frame)
            return sound.done()
        except (FFmpegError, ValueError) as wrong:
            raise damaged(wrong, "recording") from wrong


class Sound:
    """What is heard so far, on its way to its two targets."""

    def __init__(self, task: Task, stream: AudioStream) -> None:
        self._task = task
        self._codec = stream.codec_context.codec.canonical_name
        self._steady = Steady()
        self._samples = 0
        self._rate = 0
        self._channels = 0

    def add(self, frame: AudioFrame) -> None:
        if not self._rate:
            self._begin(frame)
        for heard in self._steady.frames(frame):
            self._hear(heard)

    def done(self) -> dict[str, Any]:
        for heard in self._steady.rest():
            self._hear(heard)
        if not self._samples:
            raise Refused("There is no sound in the file that we can read.")
        for piece in self._as_drawn.resample(None):
            self._draw(piece)
        self._target.mux(self._audio.encode(None))
        self._target.close()
        with self._task.targets["peaks"].open("w") as file:
            json.dump(self._peaks.drawn(), file, separators=(",", ":"))
        facts = {
            "duration_seconds": round(self._samples / self._rate, 3),
            "codec": self._codec,
            "sample_rate": self._rate,
            "channels": self._channels,
        }
        made = {"audio": {"content_type": "audio/mp4"}, "peaks": {"content_type": "application/json"}}
        return {"made": made, "facts": facts}

    def _begin(self, first: AudioFrame) -> None:
        check_rate(first.sample_rate)
        self._rate, self._channels = first.sample_rate, first.layout.nb_channels
        layout = "mono" if self._channels == 1 else "stereo"
        self._target = av.open(str(self._task.targets["audio"]), "w", format="mp4", options=MP4)
        audio = self._target.add_stream("aac", rate=playable_rate(self._rate), layout=layout, options=FASTER)
        self._audio: AudioStream = audio
        self._audio.bit_rate = BIT_RATES[layout]
        self._as_drawn = AudioResampler("s16", "mono", self._rate, AT_ONCE)
        self._peaks = Peaks(self._rate)

    def _hear(self, frame: AudioFrame) -> None:
        frame.pts, frame.time_base = self._samples, Fraction(1, self._rate)  # without the gaps that its clock may have
        self._samples += frame.samples
        if self._samples > self._task.limits["max_seconds"] * self._rate:
            longest = lasting(self._task.limits["max_seconds"])
            raise Refused(f"The recording lasts longer than {longest}: longer ones are not worked on.")
        # In this order: a filter that has nothing to do to a frame names its channels, which confuses the next one.
        self._target.mux(self._audio.encode(frame))
        for piece in self._as_drawn.resample(frame):
            self._draw(piece)

    def _draw(self, piece: AudioFrame) -> None:
        self._peaks.add(memoryview(piece.planes[0])[: piece.samples * 2])
