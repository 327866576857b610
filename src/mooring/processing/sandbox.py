"""The parent's side: one file, one child process, and what came of it.

A child that crashes, takes too long or too much takes nothing with it. One that outlives its parent is killed by
the kernel, and since its files have no names, nothing is left behind."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import mooring

NAMES = ("thumb", "large", "clean")
_KEPT_OF_STDERR = 2000


@dataclass(frozen=True, slots=True)
class Made:
    """A smaller picture, or a cleaned one."""

    name: str
    content_type: str
    width: int
    height: int
    file: IO[bytes]


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


@dataclass(frozen=True)
class Sandbox:
    memory_bytes: int
    seconds: int
    pixel_limit: int

    async def develop(self, original: IO[bytes], content_type: str, closing: ExitStack) -> Done | Spoiled:
        """What is made lies in files that `closing` closes."""
        files = {name: closing.enter_context(nameless()) for name in NAMES}
        targets = {name: file.fileno() for name, file in files.items()}
        order = {
            "content_type": content_type,
            "original": original.fileno(),
            "targets": targets,
            "memory": self.memory_bytes,
            "seconds": self.seconds,
            "pixel_limit": self.pixel_limit,
            "parent": os.getpid(),
        }
        code, said, complained = await self._run(order, [original.fileno(), *targets.values()])
        answer = _read(said) if code == 0 else {}
        if "refused" in answer:
            return Spoiled(answer["refused"], is_final=True, why=answer["why"])
        if "made" not in answer:
            return self._broken(code, complained, answer)
        made = [Made(name, file=files[name], **about) for name, about in answer["made"].items()]
        return Done(made, answer["facts"])

    async def _run(self, order: Mapping[str, Any], files: Sequence[int]) -> tuple[int | None, bytes, str]:
        """Its exit code, or None where its time was over."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mooring.processing.child", json.dumps(order),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            pass_fds=files, env=_ENVIRONMENT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self.seconds):
                said, complained = await process.communicate()
        except TimeoutError:
            return None, b"", ""
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return process.returncode, said, complained.decode(errors="replace")[-_KEPT_OF_STDERR:]

    def _broken(self, code: int | None, complained: str, answer: Mapping[str, Any]) -> Spoiled:
        """Perhaps the machine was busy: worth another try. A limit of memory that was met will be met again."""
        why = f"exit {code}: {complained}".strip()
        if code is None or code == -signal.SIGXCPU:
            return Spoiled(f"Working on the file took longer than {self.seconds} seconds.", is_final=False, why=why)
        if answer.get("broke") == "memory" or code == -signal.SIGKILL or "memory" in complained:
            megabytes = self.memory_bytes // 2**20
            reason = f"Working on the file needs more than {megabytes} MB of memory."
            return Spoiled(reason, is_final=code != -signal.SIGKILL, why=why)
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
