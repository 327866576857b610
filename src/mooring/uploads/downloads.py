"""Temporary URLs to read what is in storage."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mooring.clock import Clock
from mooring.storage.port import Storage

MOST_REMEMBERED = 10_000


@dataclass
class Downloads:
    """One and the same URL is handed out for half of its life: a browser that has the file need not fetch it again,
    whichever process it asks, and whoever gets the URL has the other half to use it in."""

    storage: Storage
    clock: Clock
    life: timedelta
    _half: int = field(init=False)  # in seconds
    _turn: int = field(default=0, init=False)
    _urls: dict[tuple[str, str], str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._half = max(1, int(self.life.total_seconds()) // 2)

    def url(self, key: str, content_type: str) -> str:
        turn = int(self.clock().timestamp()) // self._half
        if turn != self._turn or len(self._urls) >= MOST_REMEMBERED:
            self._turn = turn
            self._urls.clear()
        url = self._urls.get((key, content_type))
        if url is None:
            began = datetime.fromtimestamp(turn * self._half, UTC)
            url = self.storage.presign_get(key, at=began, lapses_in=self.life, content_type=content_type)
            self._urls[key, content_type] = url
        return url
