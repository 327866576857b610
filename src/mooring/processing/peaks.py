"""The waveform of a sound, to be drawn: least and greatest sample of each stretch of it.

The form is audiowaveform's, version 2, which players know: `data` holds a least and a greatest value in turn, of
`bits` bits, for each `samples_per_pixel` samples; `length` such pairs. As a sound goes on stretches are joined by twos,
so that neither memory nor file grow with it."""

import audioop
from typing import Any

FINEST = 256  # samples a stretch; audiowaveform's own default
MOST = 4096  # stretches: more than any screen is wide
BITS = 8
_SAMPLE = 2  # bytes


class Peaks:
    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._stretch = FINEST
        self._rest = b""
        self._pairs: list[tuple[int, int]] = []

    def add(self, samples: bytes | memoryview) -> None:
        """Of one channel, 16 bits, in this machine's order."""
        sound = self._rest + bytes(samples)
        at = 0
        while (step := self._stretch * _SAMPLE) <= len(sound) - at:
            end = at + step * min((len(sound) - at) // step, MOST - len(self._pairs))
            self._pairs += [audioop.minmax(sound[one : one + step], _SAMPLE) for one in range(at, end, step)]
            at = end
            if len(self._pairs) == MOST:
                self._join()
        self._rest = sound[at:]

    def _join(self) -> None:
        pairs = zip(self._pairs[::2], self._pairs[1::2], strict=True)
        self._pairs = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs]
        self._stretch *= 2

    def drawn(self) -> dict[str, Any]:
        pairs = [*self._pairs, audioop.minmax(self._rest, _SAMPLE)] if self._rest else self._pairs
        return {
            "version": 2,
            "channels": 1,
            "sample_rate": self._sample_rate,
            "samples_per_pixel": self._stretch,
            "bits": BITS,
            "length": len(pairs),
            "data": [value >> (8 * _SAMPLE - BITS) for pair in pairs for value in pair],
        }
