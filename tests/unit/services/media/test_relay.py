import pytest

from services.media.inbound import Inbound
from services.media.relay import Relay
from services.media.unit import Unit


class World:
    """A relay without a fan-out that runs: what it would send is looked at."""

    def __init__(self):
        self.idle = []
        self.relay = Relay("stage", self.idle.append)
        self.asked = []

    def publisher(self, name, kinds=("video", "audio")):
        inbound = Inbound("stage", name, name, kinds, lambda: self.asked.append(name))
        self.relay.add(inbound)
        return inbound

    def sent(self):
        return [(unit.data.decode(), unit.timestamp) for unit in self.relay.hub._backlog]


@pytest.fixture
async def world():
    return World()


def picture(name, stamp, *, key=False):
    return Unit("video", name.encode(), stamp, key)


def sound(name, stamp):
    return Unit("audio", name.encode(), stamp, key=True)


def test_the_first_publisher_is_the_source_and_is_asked_for_a_key_frame(world):
    first, second = world.publisher("first"), world.publisher("second")
    assert world.relay.source is first
    assert world.asked == ["first"]
    second.push(picture("other", 0, key=True))
    first.push(sound("la", 0))
    first.push(picture("not a key", 1))
    first.push(picture("key", 2, key=True))
    first.push(picture("next", 3))
    assert world.sent() == [("la", 0), ("key", 2), ("next", 3)]


def test_the_next_one_takes_over_at_a_key_frame(world):
    first, second = world.publisher("first"), world.publisher("second")
    first.push(picture("key", 100, key=True))
    first.end()
    assert world.relay.source is second
    assert world.asked == ["first", "second"]
    second.push(picture("not a key", 200))
    second.push(picture("key of the second", 300, key=True))
    assert world.sent() == [("key of the second", 300)]
    second.end()
    assert world.relay.source is None


def test_one_who_ends_while_it_waits_changes_nothing(world):
    first, second, third = (world.publisher(name) for name in ("first", "second", "third"))
    second.end()
    assert world.relay.source is first
    first.end()
    assert world.relay.source is third


def test_who_has_pictures_goes_before_who_has_only_sound(world):
    radio = world.publisher("radio", kinds=("audio",))
    assert world.relay.source is radio
    film = world.publisher("film")
    assert world.relay.source is film
    film.end()
    assert world.relay.source is radio


def test_the_clock_never_goes_back_and_sound_and_picture_stay_together(world):
    first, second = world.publisher("first"), world.publisher("second")
    first.push(picture("a", 90_000, key=True))
    first.push(sound("b", 48_000))
    first.end()
    second.push(picture("c", 81_000, key=True))  # a tenth of a second before
    second.push(sound("d", 43_200))
    second.push(picture("e", 84_000))
    (_, c), (_, d), (_, e) = world.sent()
    assert c > 90_000
    assert d > 48_000
    assert e - c == pytest.approx(3000, abs=5)
    assert d / 48_000 == pytest.approx(c / 90_000, abs=0.001)


def test_it_is_idle_when_neither_publisher_nor_viewer_is_left(world):
    publisher = world.publisher("first")
    world.relay.hub.claim()
    publisher.end()
    assert world.idle == []
    world.relay.hub.release()
    assert world.idle == [world.relay]


def test_the_least_that_viewers_can_take_follows_the_source(world):
    first, second = world.publisher("first"), world.publisher("second")
    world.relay.hub._on_estimate(400_000)
    assert (first.most_bitrate, second.most_bitrate) == (400_000, 0)


def test_viewers_starve_only_while_nothing_comes(world):
    assert not world.relay.starving(0.0)
    world.relay.hub.claim()
    assert not world.relay.starving(60.0)
    assert world.relay.starving(-1.0)
    world.publisher("first").push(picture("key", 1, key=True))
    assert not world.relay.starving(60.0)
