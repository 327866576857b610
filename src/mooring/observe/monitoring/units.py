"""Numbers as people read them, by Grafana's names of units."""

_WORDS = {"percent": " %", "reqpm": " req/min", "cpm": " /min", "Mbits": " Mbit/s"}


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    if unit == "s":
        return _seconds(value)
    if unit in ("bytes", "Bps"):
        return _stepped(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), " ") + ("/s" if unit == "Bps" else "")
    if decimals is not None and abs(value) < 1000:
        return f"{value:.{decimals}f}{_WORDS.get(unit, '')}"
    return _stepped(value, 1000, ("", "k", "M", "G", "T"), "") + _WORDS.get(unit, "")


def _seconds(value: float) -> str:
    for size, word in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= size:
            return f"{_short(value / size)} {word}"
    return "0 s"


def _stepped(value: float, step: float, words: tuple[str, ...], between: str) -> str:
    for word in words[:-1]:
        if abs(value) < step:
            return f"{_short(value)}{between}{word}".rstrip()
        value /= step
    return f"{_short(value)}{between}{words[-1]}"


def _short(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
