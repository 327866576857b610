"""How fast the rules tick. In life a window is five minutes; in a fire drill the same rules run sixty times as fast."""

from dataclasses import dataclass

SECOND = 1
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Pace:
    speed: int = 1

    def span(self, seconds: float) -> str:
        """As Prometheus writes it, in the largest unit that fits."""
        milliseconds = round(seconds * 1000 / self.speed)
        for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)):
            if milliseconds and milliseconds % (size * 1000) == 0:
                return f"{milliseconds // (size * 1000)}{unit}"
        return f"{milliseconds}ms" if milliseconds else "0s"


LIFE = Pace()
