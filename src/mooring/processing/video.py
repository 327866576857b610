"""The recipe of a video: a copy that every browser plays, and a picture to stand for it until it does.

Runs in the child process of `sandbox.py`. Frames are decoded, made smaller and encoded one after the other: nothing
grows with the file. Nothing that its camera wrote beside pictures and sound goes over into what is made."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mooring.processing.media import MP4, damaged, frames_of, lasting, opened, packets_of
from mooring.processing.moving import CLOCK, Shrinking, Soundtrack, fitted, is_heard, shown_size
from mooring.processing.task import Refused, Task

# A player that streams must be able to tell how much it needs: quality up to a rate.
X264 = {"preset": "veryfast", "crf": "23", "profile": "high", "maxrate": "5M", "bufsize": "10M"}
FASTEST = 60  # frames a second; what is between is left out
POSTER_AT = 3.0  # seconds, or a tenth of a video that is short: the very first pictures are often black
NO_PICTURES = "There are no moving pictures in the file that we can read."
_CODED_AS_USUAL = (1, 5, 6, 9)  # matrices of colour that a copy is labelled with: BT.709, 601, 2020


def develop(task: Task) -> dict[str, Any]:
    """Writes `720p` and `poster`. Of a file that is cut off, what is there."""
    try:
        first = _first_picture(task)
        with opened(task.original, "video") as source, _mp4(task.targets["720p"]) as target:
            film = Film(task, source, first, target)
            for packet in packets_of(source, *film.streams):
                film.add(packet)
            film.end()
        return film.done()
    except (FFmpegError, ValueError) as wrong:
        raise damaged(wrong, "video") from wrong


def _first_picture(task: Task) -> VideoFrame:
    """What it looks like must be known before anything is written."""
    with opened(task.original, "video") as source:
        stream = _pictures(source)
        _check_size(stream.width, stream.height, task)
        for packet in packets_of(source, stream):
            for frame in frames_of(packet):
                _check_size(frame.width, frame.height, task)
                return frame  # type: ignore[no-any-return]
    raise Refused(NO_PICTURES)


def _pictures(source: InputContainer) -> VideoStream:
    stream = source.streams.best("video")
    if isinstance(stream, VideoStream) and stream.codec_context and not stream.disposition & Disposition.attached_pic:
        return stream
    raise Refused(NO_PICTURES)


def _check_size(width: int, height: int, task: Task) -> None:
    if width * height > task.limits["max_pixels"]:
        most = task.limits["max_pixels"] / 1e6
        raise Refused(f"The video is {width} × {height} pixels large; at most {most:g} million are worked on.")


def _mp4(target: Path) -> OutputContainer:
    return av.open(str(target), "w", format="mp4", options=MP4)


class Film:
    """The copy, as far as it is."""

    def __init__(self, task: Task, source: InputContainer, first: VideoFrame, target: OutputContainer) -> None:
        self._task, self._target = task, target
        self._stream = _pictures(source)
        self._stream.codec_context.thread_count = task.threads
        self._stream.codec_context.thread_type = "AUTO"
        self._size = shown_size(first, self._stream.sample_aspect_ratio or Fraction(1))
        _check_size(*self._size, task)  # a few pixels may be declared to be very wide
        self._shrinking = Shrinking(fitted(*self._size))
        self._video = self._encoder(first)
        sound = source.streams.best("audio", related=self._stream)
        self._sound = Soundtrack(sound, target) if isinstance(sound, AudioStream) and is_heard(sound) else None
        self._began = (source.start_time or 0) / av.time_base
        self._poster_at = min(POSTER_AT, (source.duration or 0) / av.time_base / 10)
        self._poster: VideoFrame | None = None
        self._is_posed = False
        self._bytes, self._percent = max(1, source.size), 0
        self._at, self._until = -1.0, 0.0

    @property
    def streams(self) -> list[Stream]:
        return [self._stream, self._sound.source] if self._sound else [self._stream]

    def add(self, packet: "Packet[Any]") -> None:
        for frame in frames_of(packet):
            if isinstance(frame, VideoFrame):
                self._see(frame)
            elif self._sound:
                self._sound.add(frame, self._began)
        self._check_length()
        percent = 100 * (packet.pos or 0) // self._bytes
        if self._percent < percent < 100:
            self._percent = percent
            self._task.tell(percent)

    def end(self) -> None:
        self._show(self._shrinking.rest())
        self._target.mux(self._video.encode(None))
        if self._sound:
            self._sound.end()

    def done(self) -> dict[str, Any]:
        if self._poster is None:
            raise Refused(NO_PICTURES)
        _write_jpeg(self._poster, self._task.targets["poster"])
        size = {"width": self._poster.width, "height": self._poster.height}
        facts = {
            "duration_seconds": round(max(self._until, self._sound.seconds if self._sound else 0), 3),
            "width": self._size[0],
            "height": self._size[1],
            "video_codec": self._stream.codec_context.codec.canonical_name,
            "audio_codec": self._sound.source.codec_context.codec.canonical_name if self._sound else None,
        }
        made = {"poster": {"content_type": "image/jpeg"} | size, "720p": {"content_type": "video/mp4"} | size}
        return {"made": made, "facts": facts}

    def _encoder(self, first: VideoFrame) -> VideoStream:
        rate = self._stream.average_rate
        video = self._target.add_stream("libx264", rate=rate if rate and 1 <= rate <= FASTEST else 30, options=X264)
        video.width, video.height = fitted(*self._size)
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = video.time_base = CLOCK
        video.codec_context.thread_count = self._task.threads
        if first.colorspace in _CODED_AS_USUAL:
            context = video.codec_context
            context.colorspace, context.color_trc = first.colorspace, first.color_trc
            context.color_primaries = first.color_primaries
        return video

    def _see(self, frame: VideoFrame) -> None:
        _check_size(frame.width, frame.height, self._task)
        at = max(0.0, frame.time - self._began) if frame.pts is not None else self._until
        if self._at >= 0 and at < self._at + 1 / (FASTEST + 1):
            return
        lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 1 / FASTEST
        self._at, self._until = at, at + lasts
        frame.pts, frame.duration, frame.time_base = round(at / CLOCK), round(lasts / CLOCK), CLOCK
        self._show(self._shrinking.frames(frame))

    def _show(self, frames: Iterable[VideoFrame]) -> None:
        for shown in frames:
            if self._poster is None or (shown.time >= self._poster_at and not self._is_posed):
                self._poster, self._is_posed = shown, shown.time >= self._poster_at
            shown.pts, shown.time_base = round(shown.time / CLOCK), CLOCK
            shown.pict_type = 0  # as the encoder thinks best, not as it was
            self._target.mux(self._video.encode(shown))

    def _check_length(self) -> None:
        most = self._task.limits["max_seconds"]
        if max(self._until, self._sound.seconds if self._sound else 0) > most:
            raise Refused(f"The video lasts longer than {lasting(most)}: longer ones are not worked on.")


def _write_jpeg(frame: VideoFrame, target: Path) -> None:
    with av.open(str(target), "w", format="mjpeg", options={"fflags": "+bitexact"}) as file:
        picture = file.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = frame.width, frame.height, "yuvj420p"
        picture.codec_context.qmin = picture.codec_context.qmax = 3
        full = frame.reformat(format="yuvj420p")
        full.pts, full.time_base = 0, Fraction(1)
        file.mux(picture.encode(full))
        file.mux(picture.encode(None))
