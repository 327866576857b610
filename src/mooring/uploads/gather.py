"""Concurrent asks share one statement: the first goes at once and alone, those that come meanwhile go together.

A group that fails is asked again one by one, so that a bad ask fails alone. It is not asked again where nobody knows
whether it was done (`DatabaseUnavailable`): then all of it fails.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from mooring.errors import DatabaseUnavailable

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


class Gatherer(Generic[Ask, Answer]):
    def __init__(
        self, run: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]], *, lanes: int = 2, most: int = 16
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._most = most
        self._waiting: deque[tuple[Ask, asyncio.Future[Answer]]] = deque()
        self._open: set[asyncio.Task[None]] = set()

    async def ask(self, what: Ask) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, answer))
        if len(self._open) < self._lanes:
            lane = asyncio.create_task(self._serve())
            self._open.add(lane)
        return await answer

    async def _serve(self) -> None:
        """One lane. Between its last look at the queue and its end there is no await, so nobody can join unseen."""
        lane = asyncio.current_task()
        assert lane is not None  # noqa: S101
        try:
            while self._waiting:
                await self._answer(self._next_group())
        finally:
            self._open.discard(lane)

    def _next_group(self) -> list[tuple[Ask, asyncio.Future[Answer]]]:
        group: list[tuple[Ask, asyncio.Future[Answer]]] = []
        while self._waiting and len(group) < self._most:
            what, answer = self._waiting.popleft()
            if not answer.done():  # whoever asked may have gone
                group.append((what, answer))
        return group

    async def _answer(self, group: list[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        if not group:
            return
        try:
            answers = await self._run([what for what, _ in group])
        except asyncio.CancelledError:
            for _, answer in group:
                answer.cancel()
            raise
        except BaseException as failure:
            if len(group) == 1 or isinstance(failure, DatabaseUnavailable) or not isinstance(failure, Exception):
                _fail(group, failure)
                return
            for one in group:
                await self._answer([one])
            return
        for (_, answer), said in zip(group, answers, strict=True):
            if not answer.done():
                answer.set_result(said)


def _fail(group: list[tuple[Ask, asyncio.Future[Answer]]], failure: BaseException) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(failure)
