import asyncio

import pytest

from gateway.protocol import Joined


class Transport:
    def __init__(self):
        self.done = []

    def write(self, data):
        self.done.append(data)

    def close(self):
        self.done.append("closed")

    def is_closing(self):
        return "closed" in self.done


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
async def joined(transport):
    return Joined(transport)


async def test_what_is_written_in_one_turn_of_the_loop_is_sent_at_once_when_it_ends(joined, transport):
    joined.write(b"head ")
    joined.write(b"body")
    assert transport.done == []
    await asyncio.sleep(0)
    joined.write(b"next")
    await asyncio.sleep(0)
    assert transport.done == [b"head body", b"next"]


async def test_what_was_written_is_sent_before_the_end(joined, transport):
    joined.write(b"body")
    joined.close()
    assert transport.done == [b"body", "closed"]
    assert joined.is_closing()


async def test_what_is_whole_is_sent_now_but_never_ahead_of_its_turn(joined, transport):
    joined.write(b"first ")
    joined.write_now(b"second")
    assert b"".join(transport.done) == b"first second"
    await asyncio.sleep(0)
    assert b"".join(transport.done) == b"first second"


async def test_what_is_much_is_sent_within_the_turn(joined, transport):
    for _ in range(3):
        joined.write(bytes(10_000))
    assert [len(data) for data in transport.done] == [20_000]
    await asyncio.sleep(0)
    assert [len(data) for data in transport.done] == [20_000, 10_000]
