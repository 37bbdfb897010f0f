import threading

import pytest

from services.media.detection.inbox import Inbox
from services.media.unit import Unit

KEY = Unit("video", b"key", 0, key=True)
PICTURE = Unit("video", b"picture", 3000, key=False)


def sound(number):
    return Unit("audio", b"sound", number, key=True)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def inbox(asked):
    return Inbox(3, lambda: asked.append(1))


def taken(inbox):
    found = []
    while inbox.depth:
        found.append(inbox.take().unit)
    return found


def test_pictures_begin_with_a_key_frame(inbox):
    for unit in (PICTURE, KEY, PICTURE):
        inbox.put(unit)
    assert taken(inbox) == [KEY, PICTURE]


def test_too_slow_a_thread_loses_pictures_up_to_the_next_key_frame_which_is_asked_for(inbox, asked):
    for unit in (KEY, PICTURE, PICTURE):
        inbox.put(unit)
    assert asked == []
    inbox.put(PICTURE)
    assert (inbox.depth, inbox.dropped, len(asked)) == (0, 3, 1)
    inbox.put(PICTURE)
    inbox.put(KEY)
    assert taken(inbox) == [KEY]


def test_too_slow_a_thread_loses_the_oldest_sound(inbox, asked):
    for number in range(5):
        inbox.put(sound(number))
    assert [unit.timestamp for unit in taken(inbox)] == [2, 3, 4]
    assert (inbox.dropped, asked) == (2, [])


def test_a_thread_that_waits_is_woken_by_a_unit_and_by_the_end(inbox):
    found = []

    def run():
        while arrival := inbox.take():
            found.append(arrival.unit)

    thread = threading.Thread(target=run)
    thread.start()
    inbox.put(KEY)
    while not found:
        thread.join(0.01)
    inbox.close()
    thread.join(5)
    assert not thread.is_alive()
    assert found == [KEY]


def test_what_waits_at_the_end_is_left_out(inbox):
    inbox.put(KEY)
    inbox.close()
    assert inbox.take() is None
