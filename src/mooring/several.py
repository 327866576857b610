"""Several server processes behind one address: started, watched, asked for what they count, and stopped together.

This process serves nothing itself. Each child has a socket pair to it: over that it says that it is ready, and asks for
what the others count. By the end of its input it learns that the parent is gone. A child that dies is replaced, and
what it had told of its counters stays in the sums."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from mooring.errors import SetupProblem
from mooring.observe.frames import Channel
from mooring.observe.logs import configure_logs
from mooring.observe.together import Together
from mooring.server import address_of, greeting_of, listen, most_to_stop
from mooring.settings import Settings

log = structlog.get_logger()

ANSWER_SECONDS = 1.0  # for a child that is asked; then the last it said counts
AGAIN_SECONDS = 1.0  # before one that died is replaced


@dataclass(eq=False)
class Child:
    number: int
    process: asyncio.subprocess.Process
    channel: Channel
    is_ready: bool = False
    families: list[Any] = field(default_factory=list)  # what it last said that it counts


@dataclass(eq=False)
class Round:
    """One question to all the others."""

    waits_for: set[Child]
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self, child: Child) -> None:
        self.waits_for.discard(child)
        if not self.waits_for:
            self.is_over.set()


def serve_by_several(settings: Settings, *, host: str, port: int) -> None:
    """Until SIGTERM or Ctrl-C; then all of them drain, finish what is under way, and end."""
    with listen(host, port) as listening:
        logs = configure_logs(settings.log_level, secrets=settings.secrets)
        try:
            asyncio.run(Several(settings, listening, host).run())
        finally:
            logs.flush()


class Several:
    def __init__(self, settings: Settings, listening: socket.socket, host: str) -> None:
        address = address_of(host, listening)
        self._greeting = greeting_of(settings, address, host)
        self._settings = settings.model_copy(update={"public_url": settings.public_url or address})
        self._listening = listening
        self._children: dict[int, Child] = {}
        self._together = Together(settings.metrics_top)
        self._rounds: dict[int, Round] = {}
        self._asked_to_stop = asyncio.Event()
        self._failure: str | None = None
        self._was_greeted = False

    async def run(self) -> None:
        for asked in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(asked, self._asked_to_stop.set)
        keeping = [asyncio.create_task(self._keep(number)) for number in range(self._settings.processes)]
        for one in keeping:
            one.add_done_callback(lambda _: self._asked_to_stop.set())  # a bug of ours must not go unheard
        await self._asked_to_stop.wait()
        await self._stop(keeping)
        for one in keeping:
            if one.done():
                one.result()
        if self._failure:
            raise SetupProblem(self._failure)

    async def _keep(self, number: int) -> None:
        """One child after the other, until we are asked to stop, or until one of the first can't serve."""
        while not self._asked_to_stop.is_set():
            try:
                child = await self._start(number)
            except OSError as failure:  # no room for another process or file
                if not self._was_greeted:
                    self._failure = f"A server process can't be started: {failure.strerror or failure}."
                    return
                log.error("server_process_not_started", number=number, why=str(failure))
            else:
                status = await self._live(child)
                if self._asked_to_stop.is_set():
                    return
                if not child.is_ready and not self._was_greeted:  # it said itself why
                    self._failure = f"A server process ended with {status} before it was ready."
                    return
                log.error("server_process_died", number=number, status=status)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _live(self, child: Child) -> int:
        """To its end, and to the end of what it said."""
        hearing = asyncio.create_task(self._hear(child))
        if self._asked_to_stop.is_set():
            child.process.terminate()
        status = await child.process.wait()
        await hearing
        self._bury(child)
        return status

    async def _start(self, number: int) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await Channel.on(ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "mooring.one_of_several",
                    json.dumps(self._told(number, theirs)),
                    stdin=asyncio.subprocess.PIPE,  # never written to: it ends when we do
                    pass_fds=[self._listening.fileno(), theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is for us: they are asked to stop, once
                )
            except OSError:
                await channel.close()
                raise
        child = self._children[number] = Child(number, process, channel)
        return child

    def _told(self, number: int, end: socket.socket) -> dict[str, Any]:
        """What the environment does not say. The first sweeps and works for all."""
        settings = {"data": str(self._settings.data), "public_url": self._settings.public_url}
        only_serves = {} if number == 0 else {"worker": False, "sweep": False}
        return {
            "listening": self._listening.fileno(),
            "channel": end.fileno(),
            "settings": {**settings, **only_serves},
        }

    async def _hear(self, child: Child) -> None:
        answering: set[asyncio.Task[None]] = set()
        async for told in child.channel.said():
            if told["say"] == "ready":
                child.is_ready = True
                self._greet()
                continue
            child.families = told["families"]
            self._together.rank(told["ranked"])
            if told["say"] == "ask":
                task = asyncio.create_task(self._answer(child, told["id"]))
                answering.add(task)
                task.add_done_callback(answering.discard)
            elif told["round"] in self._rounds:
                self._rounds[told["round"]].answered(child)
        await child.channel.close()

    async def _answer(self, child: Child, number: int) -> None:
        others = {one for one in self._children.values() if one is not child and one.is_ready}
        this = Round(set(others))
        self._rounds[id(this)] = this
        for one in others:
            one.channel.say(say="tell", round=id(this))
        if others:
            with suppress(TimeoutError):
                await asyncio.wait_for(this.is_over.wait(), ANSWER_SECONDS)
        del self._rounds[id(this)]
        alive = [one.families for one in others if self._children.get(one.number) is one]
        child.channel.say(say="all", id=number, processes=[*alive, *self._together.besides()])

    def _bury(self, child: Child) -> None:
        if self._children.get(child.number) is child:
            del self._children[child.number]
        for this in self._rounds.values():
            this.answered(child)
        self._together.keep(child.families)

    def _greet(self) -> None:
        if not self._was_greeted and len([one for one in self._children.values() if one.is_ready]) == (
            self._settings.processes
        ):
            self._was_greeted = True
            sys.stderr.write(self._greeting)
            sys.stderr.flush()

    async def _stop(self, keeping: Iterable[asyncio.Task[None]]) -> None:
        for child in self._children.values():
            with suppress(ProcessLookupError):
                child.process.terminate()
        _, late = await asyncio.wait(keeping, timeout=most_to_stop(self._settings))
        for child in self._children.values() if late else ():
            with suppress(ProcessLookupError):
                child.process.kill()
