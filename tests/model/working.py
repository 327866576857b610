"""What a worker does with an upload: well, in vain, and once more. What becomes of the bytes, other tests ask."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

from mooring.db.pool import Executor
from mooring.errors import NotFailed, UploadNotFound
from mooring.processing.sandbox import Done, Made, Progress, Sandbox, Spoiled, nameless
from mooring.uploads.lifecycle import STORED
from mooring.uploads.work import Work
from world import World

if TYPE_CHECKING:
    from .scene import Known, Scene

NAMES = {"photo": ("thumb", "large", "clean"), "video": ("poster", "720p"), "recording": ("audio", "peaks")}


@dataclass
class Quick(Sandbox):
    """A machine that makes something of any file, at once; or of none."""

    is_able: bool = True

    async def develop(
        self, kind: str, original: IO[bytes], content_type: str, closing: ExitStack, progress: Progress | None = None
    ) -> Done | Spoiled:
        if not self.is_able:
            return Spoiled("The file is damaged.", is_final=True)
        return Done([Made(name, "image/webp", _written(name, closing), 8, 6) for name in NAMES[kind]], {})


def _written(name: str, closing: ExitStack) -> IO[bytes]:
    file = closing.enter_context(nameless())
    file.write(name.encode())
    return file


async def work(_: "Scene", world: World, it: "Known") -> None:
    await _worker(world, Quick({})).process(_job(it), 0)


async def work_in_vain(_: "Scene", world: World, it: "Known") -> None:
    await _worker(world, Quick({}, is_able=False)).process(_job(it), 0)


async def try_again(_: "Scene", world: World, it: "Known") -> None:
    with suppress(NotFailed, UploadNotFound):
        assert (await world.uploads.retry(it.id)).state in STORED


def _worker(world: World, sandbox: Sandbox) -> Work:
    return Work(
        uploads=world.uploads,
        sandbox=sandbox,
        record=dict.fromkeys(NAMES, _keep_nothing),
        metrics=world.metrics,
        attempts=3,
        pause=timedelta(seconds=10),
    )


def _job(it: "Known") -> Mapping[str, Any]:
    """As the queue would hand it out, whether it still does or not: at least once, and late."""
    return {"upload": it.id, "kind": "video" if it.parts else "photo", "user": it.owner}


async def _keep_nothing(tx: Executor, upload_id: int, facts: Mapping[str, Any]) -> None: ...
