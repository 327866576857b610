"""The parent's side: one file, one child process, and what came of it.

A child that crashes, takes too long or too much takes nothing with it. One that outlives its parent is killed by
the kernel, and since its files have no names, nothing is left behind.

For a recipe that somebody waits for, the next child is started while the last one works: it has loaded everything and
waits for its order. It too works on one file only."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import mooring
from mooring.processing.recipes import Recipe

_KEPT_OF_STDERR = 2000
NOT_THE_FILE = "This server could not work on the file."
BY_THE_CLOCK = 4  # times its seconds of CPU: the machine may have other things to do

# Hears how far the work is, in percent.
Progress = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Made:
    """What came of the file: something smaller, or cleaner, or easier to play."""

    name: str
    content_type: str
    file: IO[bytes]
    width: int | None = None  # where it is seen
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    made: Sequence[Made]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Nothing came of it. `is_final`: it is the file's fault, and would be so again."""

    reason: str
    is_final: bool
    why: str = ""  # for the log


@dataclass(frozen=True, slots=True)
class Child:
    process: asyncio.subprocess.Process
    orders: socket.socket
    says: asyncio.StreamReader
    complains: asyncio.StreamReader

    async def end(self) -> None:
        self.orders.close()
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


async def _unheard(_: int) -> None: ...


@dataclass
class Sandbox:
    recipes: Mapping[str, Recipe]  # by kind
    _spares: dict[str, "asyncio.Task[Child]"] = field(default_factory=dict)

    async def develop(
        self, kind: str, original: IO[bytes], content_type: str, closing: ExitStack, progress: Progress = _unheard
    ) -> Done | Spoiled:
        """What is made lies in files that `closing` closes."""
        recipe = self.recipes[kind]
        files = {name: closing.enter_context(nameless()) for name in recipe.makes}
        order = {
            "content_type": content_type,
            "targets": list(files),
            "limits": dict(recipe.limits),
            "memory": recipe.memory_bytes,
            "seconds": recipe.seconds * recipe.threads,
            "threads": recipe.threads,
        }
        code, answer, complained = await self._run(recipe, order, [original, *files.values()], progress)
        if code == 0 and "refused" in answer:
            return Spoiled(answer["refused"], is_final=True, why=answer["why"])
        if code != 0 or "made" not in answer:
            return _broken(recipe, code, complained, answer)
        made = [Made(name, file=files[name], **about) for name, about in answer["made"].items()]
        return Done(made, answer["facts"])

    async def close(self) -> None:
        """Nobody needs the spares any more."""
        spares, self._spares = self._spares, {}
        for started in await asyncio.gather(*spares.values(), return_exceptions=True):
            if isinstance(started, Child):
                await started.end()

    async def _run(
        self, recipe: Recipe, order: Mapping[str, Any], files: Sequence[IO[bytes]], progress: Progress
    ) -> tuple[int | None, dict[str, Any], str]:
        """Its exit code, or None where its time was over; what it answered, and complained of."""
        child = await self._ordered(recipe, json.dumps(order).encode(), [file.fileno() for file in files])
        if recipe.has_spare and recipe.module not in self._spares:
            self._spares[recipe.module] = asyncio.create_task(_started(recipe))
        answer, complained = {}, ""
        try:
            async with asyncio.timeout(BY_THE_CLOCK * recipe.seconds):
                answer, complained = await asyncio.gather(_answer(child.says, progress), _last_of(child.complains))
                await child.process.wait()
        except TimeoutError:
            return None, {}, ""
        finally:
            await child.end()
        return child.process.returncode, answer, complained

    async def _ordered(self, recipe: Recipe, order: bytes, files: Sequence[int]) -> Child:
        """A child that has its order: the spare, if there is one and it lives."""
        if spare := self._spares.pop(recipe.module, None):
            with suppress(OSError):
                child = await spare
                try:
                    socket.send_fds(child.orders, [order], files)
                except OSError:
                    await child.end()
                    raise
                return child
        child = await _started(recipe)
        with suppress(OSError):  # it ended before it began: how, is seen when it is waited for
            socket.send_fds(child.orders, [order], files)
        return child


async def _started(recipe: Recipe) -> Child:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mooring.processing.child", recipe.module, str(os.getpid()),
                stdin=theirs.fileno(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env=_ENVIRONMENT,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
    if process.stdout is None or process.stderr is None:
        raise OSError("no pipes")
    return Child(process, ours, process.stdout, process.stderr)


async def _answer(says: asyncio.StreamReader, progress: Progress) -> dict[str, Any]:
    """The last thing it says that is not how far it is."""
    answer: dict[str, Any] = {}
    with suppress(ValueError):  # a line longer than a stream keeps, 64 KiB, is not ours
        async for line in says:
            said = _read(line)
            if isinstance(percent := said.get("progress"), int):
                await progress(min(max(percent, 0), 99))  # it is at an end when what was made is kept
            else:
                answer = said
    return answer


async def _last_of(complains: asyncio.StreamReader) -> str:
    """However much it is: no more is kept."""
    last = b""
    while piece := await complains.read(2**16):
        last = (last + piece)[-_KEPT_OF_STDERR:]
    return last.decode(errors="replace")


def _broken(recipe: Recipe, code: int | None, complained: str, answer: Mapping[str, Any]) -> Spoiled:
    """Perhaps the machine was busy: worth another try. A limit of CPU or memory that was met will be met again."""
    why = f"exit {code}: {complained}".strip()
    if code is None or code == -signal.SIGXCPU:
        reason = f"Working on the file took longer than {recipe.seconds} seconds."
        return Spoiled(reason, is_final=code is not None, why=why)
    if answer.get("broke") == "memory" or code == -signal.SIGKILL or "memory" in complained:
        reason = f"Working on the file needs more than {recipe.memory_bytes // 2**20} MB of memory."
        return Spoiled(reason, is_final=code != -signal.SIGKILL, why=why)
    if answer.get("broke") == "machine":
        return Spoiled(NOT_THE_FILE, is_final=False, why=answer["why"])
    return Spoiled("The file made the program crash that reads it.", is_final=False, why=why)


def nameless() -> IO[bytes]:
    """A file that is gone when whoever has it open is."""
    return tempfile.TemporaryFile()  # whoever asked closes it


# Nothing of ours: no secret, no address. One thread: more of them cost memory, and other jobs their turn.
_ENVIRONMENT = {
    "PYTHONPATH": str(Path(mooring.__file__).parents[1]),
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "LC_ALL": "C.UTF-8",
}


def _read(said: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        return {}
    return answer
