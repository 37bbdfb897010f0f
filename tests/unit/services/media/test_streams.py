import asyncio

import pytest

from services.media.inbound import Inbound
from services.media.streams import Streams, UnknownStream, WrongMode


@pytest.fixture
async def relays():
    streams = Streams("relay", {})
    yield streams
    await streams.close()


def publisher(name):
    return Inbound(name, f"{name}-publisher", name, ("video",), lambda: None)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "../a", "ä", "x" * 65, "a\n"])
def test_a_name_that_cannot_stand_in_a_path_is_nobodys(relays, name):
    for ask in (relays.hub, relays.check_publishable):
        with pytest.raises(UnknownStream):
            ask(name)
    assert relays.relayed() == []


def test_each_mode_takes_whom_it_is_for():
    with pytest.raises(WrongMode):
        Streams("record", {}).hub("live")
    Streams("record", {}).check_publishable("live")
    with pytest.raises(WrongMode):
        Streams("stream", {}).check_publishable("live")
    with pytest.raises(UnknownStream):
        Streams("stream", {}).hub("other")


async def test_a_stream_is_there_as_long_as_somebody_is(relays):
    hub = relays.hub("news")
    hub.claim()
    inbound = publisher("news")
    relays.begin(inbound)
    (told,) = relays.relayed()
    assert (told.name, told.source, told.waiting, told.viewers) == ("news", "news-publisher", (), 1)
    hub.release()
    assert [one.name for one in relays.relayed()] == ["news"]
    inbound.end()
    assert relays.relayed() == []
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "relay"]


async def test_what_was_sent_is_counted_beyond_the_end_of_its_stream(relays):
    inbound = publisher("news")
    relays.begin(inbound)
    hub = relays.hub("news")
    hub.sent_packets, hub.sent_octets = 5, 700
    assert relays.traffic().packets == 5
    inbound.end()
    again = relays.hub("news")
    again.claim()
    again.sent_packets = 2
    assert (relays.traffic().packets, relays.traffic().octets) == (7, 700)


async def test_every_publisher_is_told_to_who_wants_to_know(relays):
    told = []
    relays.on_publisher.append(told.append)
    inbound = publisher("news")
    relays.begin(inbound)
    assert told == [inbound]


def test_who_has_a_say_may_refuse_a_publisher(relays):
    def refuse():
        raise RuntimeError("the disk is full")

    relays.check_publishable("news")
    relays.may_publish.append(refuse)
    with pytest.raises(RuntimeError):
        relays.check_publishable("news")


async def test_streams_whose_viewers_wait_in_vain_are_named(relays):
    relays.hub("news").claim()
    assert relays.starving(60.0) == []
    assert relays.starving(-1.0) == ["news"]
