import asyncio

import pytest

from gateway.batch import Batched


class Line:
    """Something that takes many items a call and answers when told to."""

    def __init__(self):
        self.calls = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failure = None

    async def send(self, items, timeout, metadata):  # noqa: ASYNC109  as grpc's own methods
        self.calls.append((list(items), timeout, metadata))
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return [10 * item for item in items]


@pytest.fixture
async def line():
    return Line()


@pytest.fixture
def batched(line):
    return Batched(line.send, limit=4)


def call(batched, item):
    return batched(item, timeout=1.5, metadata=())


async def test_one_call_alone_goes_at_once_with_its_own_timeout_and_metadata(batched, line):
    assert await batched(7, timeout=2.5, metadata=(("x-request-id", "a"),)) == 70
    assert line.calls == [([7], 2.5, (("x-request-id", "a"),))]


async def test_calls_of_one_loop_turn_share_one_and_get_their_own_answers(batched, line):
    assert await asyncio.gather(*(call(batched, item) for item in (3, 1, 2))) == [30, 10, 20]
    assert [items for items, _, _ in line.calls] == [[3, 1, 2]]


async def test_calls_that_come_while_one_is_under_way_share_the_next(batched, line):
    line.may_answer.clear()
    first = asyncio.create_task(call(batched, 1))
    while not line.calls:
        await asyncio.sleep(0)
    later = [asyncio.create_task(call(batched, item)) for item in (2, 3)]
    await asyncio.sleep(0)
    line.may_answer.set()
    assert await asyncio.gather(first, *later) == [10, 20, 30]
    assert [items for items, _, _ in line.calls] == [[1], [2, 3]]


async def test_a_call_never_carries_more_than_the_limit(batched, line):
    assert await asyncio.gather(*(call(batched, item) for item in range(10))) == [10 * item for item in range(10)]
    assert [len(items) for items, _, _ in line.calls] == [4, 4, 2]


async def test_a_failure_reaches_everyone_in_the_call_and_nobody_else(batched, line):
    line.failure = ConnectionError("gone")
    assert all(isinstance(one, ConnectionError) for one in await asyncio.gather(
        call(batched, 1), call(batched, 2), return_exceptions=True
    ))  # fmt: skip
    line.failure = None
    assert await call(batched, 3) == 30


async def test_who_leaves_does_not_take_the_others_along(batched, line):
    line.may_answer.clear()
    leaving, staying = asyncio.create_task(call(batched, 1)), asyncio.create_task(call(batched, 2))
    while not line.calls:
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    line.may_answer.set()
    assert await staying == 20
    assert leaving.cancelled()


async def test_too_few_outcomes_fail_everyone_and_leave_nobody_waiting():
    async def send(items, timeout, metadata):  # noqa: ASYNC109  as grpc's own methods
        return items[1:]

    batched = Batched(send, limit=4)
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(call(batched, 1), call(batched, 2), return_exceptions=True)
    assert [type(one) for one in outcomes] == [ValueError, ValueError]
