import asyncio
from collections.abc import Sequence

import pytest

from mooring.errors import DatabaseUnavailable
from mooring.uploads.gather import Gatherer


class Statement:
    """Doubles numbers; each call waits until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.fails_on: dict[int, BaseException] = {}

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        gate = asyncio.Event()
        self.groups.append(list(asked))
        self.gates.append(gate)
        await gate.wait()
        for number in asked:
            if number in self.fails_on:
                raise self.fails_on[number]
        return [2 * number for number in asked]

    async def let_go(self) -> None:
        while any(not gate.is_set() for gate in self.gates):
            for gate in self.gates:
                gate.set()
            await turn()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def ask_all(gatherer: Gatherer[int, int], numbers: range) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(gatherer.ask(number)) for number in numbers]


async def test_a_lone_ask_goes_at_once() -> None:
    statement = Statement()
    asked = asyncio.create_task(Gatherer(statement).ask(7))
    await turn()
    assert statement.groups == [[7]]
    await statement.let_go()
    assert await asked == 14


async def test_asks_that_come_meanwhile_go_together_and_never_more_than_the_most() -> None:
    statement = Statement()
    asks = ask_all(Gatherer(statement, lanes=2, most=4), range(12))
    await turn()
    assert statement.groups == [[0, 1, 2, 3], [4, 5, 6, 7]]
    await statement.let_go()
    assert await asyncio.gather(*asks) == [2 * number for number in range(12)]
    assert statement.groups[2:] == [[8, 9, 10, 11]]


async def test_an_ask_that_joins_while_its_lane_closes_is_not_forgotten() -> None:
    gatherer: Gatherer[int, int]

    async def instant(asked: Sequence[int]) -> list[int]:
        return [2 * number for number in asked]

    gatherer = Gatherer(instant, lanes=1)

    async def again_and_again(number: int) -> list[int]:
        # Each answer wakes this task just when the lane finds its queue empty, and asks anew in that very turn.
        return [await gatherer.ask(number + step) for step in range(50)]

    answers = await asyncio.wait_for(asyncio.gather(*(again_and_again(100 * n) for n in range(7))), 5)
    assert answers == [[2 * (100 * n + step) for step in range(50)] for n in range(7)]


async def test_a_bad_ask_fails_alone() -> None:
    statement = Statement()
    statement.fails_on[2] = ValueError("two")
    asks = ask_all(Gatherer(statement, lanes=1), range(4))
    await turn()
    await statement.let_go()
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["0", "2", "two", "6"]


async def test_where_nobody_knows_whether_it_was_done_nothing_is_asked_twice() -> None:
    statement = Statement()
    statement.fails_on[2] = DatabaseUnavailable("gone")
    asks = ask_all(Gatherer(statement, lanes=1), range(4))
    await turn()
    await statement.let_go()
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(answer, DatabaseUnavailable) for answer in answers)
    assert statement.groups == [[0, 1, 2, 3]]


async def test_who_gave_up_waiting_is_not_asked_for() -> None:
    statement = Statement()
    asks = ask_all(Gatherer(statement, lanes=1, most=1), range(3))
    await turn()
    asks[1].cancel()
    await statement.let_go()
    assert await asks[0] == 0
    assert await asks[2] == 4
    with pytest.raises(asyncio.CancelledError):
        await asks[1]
    assert statement.groups == [[0], [2]]


async def test_it_works_on_after_a_failure() -> None:
    statement = Statement()
    statement.fails_on[1] = ValueError("one")
    gatherer = Gatherer(statement, lanes=1)
    failing = asyncio.create_task(gatherer.ask(1))
    await turn()
    await statement.let_go()
    with pytest.raises(ValueError, match="one"):
        await failing
    later = asyncio.create_task(gatherer.ask(3))
    await turn()
    await statement.let_go()
    assert await later == 6


class Ending(BaseException):
    """As KeyboardInterrupt: not to be caught on the way."""


async def test_what_ends_the_process_reaches_everybody_who_waits() -> None:
    statement = Statement()
    statement.fails_on[2] = Ending()
    asks = ask_all(Gatherer(statement, lanes=1), range(4))
    await turn()
    await statement.let_go()
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(answer, Ending) for answer in answers)
    assert statement.groups == [[0, 1, 2, 3]]
