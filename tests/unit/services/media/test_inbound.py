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


def test_units_are_handed_on_in_order_until_the_listener_stops(inbound):
    first, second = [], []
    stop = inbound.listen(first.append)
    inbound.push(KEY)
    inbound.listen(second.append)
    inbound.push(PICTURE)
    stop()
    stop()
    inbound.push(SOUND)
    assert (first, second) == ([KEY, PICTURE], [PICTURE, SOUND])


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
