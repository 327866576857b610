"""Parts of the recipe of a video: pictures made smaller and upright, and the sound that goes with them."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from mooring.processing.media import BIT_RATES, FASTER, Steady, check_rate, playable_rate

LONG, SHORT = 1280, 720
CLOCK = Fraction(1, 90_000)
NO_GAP = 0.1  # seconds that a clock of sound may be off
# By how far a frame is to be turned, anti-clockwise.
_UPRIGHT: dict[int, list[tuple[str, str]]] = {
    0: [],
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    270: [("transpose", "clock")],
}


def turn_of(frame: VideoFrame) -> int:
    """The right angle that is nearest: a matrix may say any, or none at all."""
    angle = frame.rotation
    return round(angle / 90) * 90 % 360 if -180 <= angle <= 180 else 0


def shown_size(frame: VideoFrame, stretched: Fraction) -> tuple[int, int]:
    """Upright, with square pixels."""
    width, height = max(1, round(frame.width * stretched)), frame.height
    return (height, width) if turn_of(frame) % 180 else (width, height)


def fitted(width: int, height: int) -> tuple[int, int]:
    """No larger than it is; even, since colours are kept for squares of four."""
    most_across, most_down = (LONG, SHORT) if width >= height else (SHORT, LONG)
    by = min(Fraction(1), Fraction(most_across, width), Fraction(most_down, height))
    return max(2, round(width * by / 2) * 2), max(2, round(height * by / 2) * 2)


def is_heard(sound: AudioStream) -> bool:
    return bool(sound.codec_context and sound.codec_context.sample_rate)


class Looks(NamedTuple):
    width: int
    height: int
    format: str
    turn: int
    is_interlaced: bool


class Shrinking:
    """Every frame upright and of the same size, whatever comes: it may change in the middle. Each must come with its
    time on `CLOCK`, and goes with it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._graph = Graph()
        self._made_for: Looks | None = None
        self._is_interlaced = False  # now or before: some go to and fro

    def frames(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Those that are done. What was interlaced is done when the next one was seen."""
        self._is_interlaced = self._is_interlaced or frame.interlaced_frame
        looks = Looks(frame.width, frame.height, frame.format.name, turn_of(frame), self._is_interlaced)
        if looks != self._made_for:
            yield from self.rest()
            self._graph, self._made_for = self._built(looks), looks
        self._graph.vpush(frame)
        yield from self._done()

    def rest(self) -> Iterator[VideoFrame]:
        """There is no next one."""
        if self._made_for:
            self._made_for = None
            self._graph.vpush(None)
            yield from self._done()

    def _done(self) -> Iterator[VideoFrame]:
        while True:
            try:
                done = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            yield done

    def _built(self, looks: Looks) -> Graph:
        width, height = self._size
        if looks.turn % 180:
            width, height = height, width
        steps = [("scale", f"{width}:{height}:flags=bicubic"), ("format", "yuv420p"), *_UPRIGHT[looks.turn]]
        if looks.is_interlaced:
            steps.insert(0, ("yadif", "deint=interlaced"))
        graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(None, looks.width, looks.height, VideoFormat(looks.format), None, CLOCK)
        nodes = [source, *(graph.add(name, how) for name, how in steps), graph.add("buffersink")]
        graph.link_nodes(*nodes).configure()
        return graph


class Soundtrack:
    """What is heard, on a clock that never goes back: players and containers can't follow one that does."""

    def __init__(self, source: AudioStream, target: OutputContainer) -> None:
        self.source = source
        self._target = target
        self._rate = source.codec_context.sample_rate
        check_rate(self._rate)
        self._steady = Steady(self._rate)
        layout = "mono" if source.codec_context.channels == 1 else "stereo"
        self._audio = target.add_stream("aac", rate=playable_rate(self._rate), layout=layout, options=FASTER)
        self._audio.bit_rate = BIT_RATES[layout]
        self._at = 0  # samples

    @property
    def seconds(self) -> float:
        return self._at / self._rate

    def add(self, frame: AudioFrame, began: float) -> None:
        should_be = self._at if frame.time is None else round((frame.time - began) * self._rate)
        if should_be - self._at > NO_GAP * self._rate:
            self._at = should_be
        for heard in self._steady.frames(frame):
            self._hear(heard)

    def end(self) -> None:
        for heard in self._steady.rest():
            self._hear(heard)
        self._target.mux(self._audio.encode(None))

    def _hear(self, frame: AudioFrame) -> None:
        frame.pts, frame.time_base = self._at, Fraction(1, self._rate)
        self._at += frame.samples
        self._target.mux(self._audio.encode(frame))
