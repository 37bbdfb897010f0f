import asyncio

import pytest

from services.media.inbound import Inbound
from services.media.unit import Unit

KEY = Unit("video", b"key", 0, key=True)
PICTURE = Unit("video", b"picture", 3000, key=False)
SOUND = Unit("audio", b"sound", 960, key=True)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def inbound(asked):
    return Inbound("live", "abc", "live", ("video", "audio"), lambda: asked.append(1))


async def read(subscription):
    return [unit async for unit in subscription]


async def test_a_reader_gets_units_from_a_key_frame_on_until_the_publisher_ends(inbound):
    inbound.push(KEY)
    subscription = inbound.subscribe()
    for unit in (PICTURE, SOUND, KEY, PICTURE):
        inbound.push(unit)
    inbound.end()
    assert await read(subscription) == [SOUND, KEY, PICTURE]


async def test_a_waiting_reader_is_woken_by_a_unit_and_by_the_end(inbound):
    reading = asyncio.create_task(read(inbound.subscribe()))
    await asyncio.sleep(0)
    inbound.push(KEY)
    await asyncio.sleep(0)
    inbound.end()
    assert await asyncio.wait_for(reading, 5) == [KEY]


async def test_a_reader_that_is_too_slow_loses_what_waits_and_goes_on_with_a_key_frame(inbound, asked):
    slow, quick = inbound.subscribe(most_waiting=3), inbound.subscribe()
    asked.clear()
    for unit in (KEY, PICTURE, PICTURE, PICTURE, SOUND, KEY):
        inbound.push(unit)
    inbound.end()
    assert await read(slow) == [SOUND, KEY]
    assert slow.dropped == 3
    assert await read(quick) == [KEY, PICTURE, PICTURE, PICTURE, SOUND, KEY]
    assert quick.dropped == 0


async def test_a_closed_subscription_takes_nothing_more(inbound):
    subscription = inbound.subscribe()
    inbound.push(KEY)
    subscription.close()
    inbound.push(KEY)
    assert await read(subscription) == [KEY]
    inbound.end()


async def test_subscribing_to_a_publisher_that_has_ended_ends_at_once(inbound):
    inbound.end()
    assert await read(inbound.subscribe()) == []


def test_who_begins_to_listen_makes_the_publisher_send_a_key_frame_but_not_too_often(inbound, asked):
    inbound.listen(lambda unit: None)
    inbound.listen(lambda unit: None)
    assert inbound.want_key()
    assert len(asked) == 1


def test_a_publisher_that_has_ended_is_asked_for_nothing(inbound, asked):
    inbound.end()
    assert not inbound.want_key()
    assert asked == []


def test_the_end_is_told_once_and_at_once_to_who_asks_late(inbound):
    told = []
    inbound.on_end(lambda: told.append("first"))
    inbound.end()
    inbound.end()
    inbound.on_end(lambda: told.append("late"))
    assert told == ["first", "late"]
