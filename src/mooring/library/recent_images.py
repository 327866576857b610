"""The files of images that were looked up a moment ago, so that the next request for one costs the database nothing.

Whatever happens to an upload is told by NOTIFY with its user: then nothing of theirs is believed any more, in any
process. While nobody listens, nothing is remembered."""

from dataclasses import dataclass, field
from time import monotonic

from mooring.uploads.lifecycle import CHANNEL
from mooring.uploads.served import ServedFile

MOST_REMEMBERED = 10_000
SECONDS = 60.0  # after that it is looked up again, told or not

Which = tuple[int, str]  # photo and size
Shelf = dict[Which, tuple[ServedFile, float]]  # of one user


@dataclass
class RecentImages:
    channel: str = CHANNEL
    _shelves: dict[int, Shelf] = field(default_factory=dict, repr=False)
    _count: int = 0  # of shelves and of what was put on them
    _is_listening: bool = False

    def shelf(self, user_id: int) -> Shelf:
        """To be taken before a look in the database: where something happens meanwhile, it is no longer the user's, and
        what is put on it is never found."""
        shelf = self._shelves.get(user_id)
        if shelf is None:
            shelf = {}
            if self._is_listening:
                self._count_one_more()
                self._shelves[user_id] = shelf
        return shelf

    def find(self, shelf: Shelf, which: Which) -> ServedFile | None:
        known = shelf.get(which)
        return known[0] if known is not None and known[1] > monotonic() else None

    def keep(self, user_id: int, shelf: Shelf, which: Which, file: ServedFile) -> None:
        if self._shelves.get(user_id) is not shelf:
            return
        shelf[which] = file, monotonic() + SECONDS
        self._count_one_more()

    def forget(self, user_id: int) -> None:
        shelf = self._shelves.pop(user_id, None)
        if shelf is not None:
            self._count -= 1 + len(shelf)

    def _count_one_more(self) -> None:
        """A moment's worth of look-ups: when it is too much all of it goes, and nobody keeps an order."""
        self._count += 1
        if self._count > MOST_REMEMBERED:
            self._forget_all()

    def _forget_all(self) -> None:
        self._shelves.clear()
        self._count = 0

    # ── what the listening connection says ──

    def heard(self, user_id: str, /) -> None:
        self.forget(int(user_id))

    def began(self) -> None:
        self._is_listening = True

    def ended(self) -> None:
        self._is_listening = False
        self._forget_all()
