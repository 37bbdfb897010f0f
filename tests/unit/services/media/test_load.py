import asyncio

import pytest

from services.media.load import Load, Used, processors, quota


class Clocks:
    """Clocks that go on by what a test says was used in each second."""

    def __init__(self):
        self.now = Used(100.0, 7.0, 9.0)

    def spend(self, load, seconds, *, thread, process):
        for _ in range(seconds):
            self.now = Used(self.now.clock + 1, self.now.thread + thread, self.now.process + process)
            load.sample()


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def load(clocks):
    """Make a load that has been watched for one moment."""

    def make(most=0.9, processors=4.0):
        made = Load(most, processors, lambda: clocks.now)
        made.sample()
        return made

    return make


def test_nothing_is_said_before_a_few_seconds_were_seen(load, clocks):
    fresh = load()
    clocks.spend(fresh, 4, thread=1.0, process=4.0)
    assert (fresh.share, fresh.too_much) == (0.0, False)
    clocks.spend(fresh, 1, thread=1.0, process=4.0)
    assert fresh.share == pytest.approx(1.0)
    assert fresh.too_much


@pytest.mark.parametrize(
    ("thread", "process", "processors", "share"),
    [
        (0.5, 0.5, 4.0, 0.5),  # one thread is all the loop has, whatever else is idle
        (0.1, 3.8, 4.0, 0.95),  # encoders take every processor
        (0.2, 0.2, 0.5, 0.4),  # half a processor is allowed
        (0.0, 0.0, 1.0, 0.0),
    ],
)
def test_the_busier_of_loop_and_process_counts(load, clocks, thread, process, processors, share):
    made = load(processors=processors)
    clocks.spend(made, 5, thread=thread, process=process)
    assert made.share == pytest.approx(share)


def test_a_short_burst_is_not_too_much_and_a_long_one_is_over_after_a_few_seconds(load, clocks):
    made = load(most=0.5)
    clocks.spend(made, 5, thread=0.0, process=0.0)
    clocks.spend(made, 2, thread=1.0, process=1.0)
    assert not made.too_much
    clocks.spend(made, 1, thread=1.0, process=1.0)
    assert made.too_much
    clocks.spend(made, 3, thread=0.0, process=0.0)
    assert not made.too_much


def test_without_a_limit_nothing_is_too_much(load, clocks):
    made = load(most=0.0)
    clocks.spend(made, 5, thread=1.0, process=4.0)
    assert not made.too_much


async def test_whoever_watches_is_told_when_it_becomes_too_much():
    made, told = Load(1e-9, processors()), []

    async def work():
        while not told:
            await asyncio.sleep(0)

    watching = asyncio.create_task(made.watch(lambda: told.append(made.too_much)))
    async with asyncio.timeout(30):
        await work()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert told == [True]


@pytest.mark.parametrize(
    ("text", "processors"),
    [
        ("50000 100000\n", 0.5),
        ("400000 100000", 4.0),
        ("max 100000\n", float("inf")),
        ("", float("inf")),
        ("x", float("inf")),
    ],
)
def test_what_a_control_group_allows_is_read(text, processors):
    assert quota(text) == processors
