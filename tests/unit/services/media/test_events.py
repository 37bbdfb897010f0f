import asyncio

from services.media.events import MOST_WAITING, Event, Events


async def test_whoever_watches_hears_what_happens_from_then_on():
    events = Events()
    events.tell(Event("before", {}))
    one, other = events.watch(), events.watch()
    events.tell(Event("first", {"a": 1}, "session"))
    events.tell(Event("second", {}))
    events.close()
    for watched in (one, other):
        first = await anext(watched)
        assert (first.type, first.data, first.session) == ("first", {"a": 1}, "session")
        assert first.at > 1.7e9


async def test_who_waits_is_woken_by_an_event_and_by_the_end():
    events = Events()

    async def read():
        return [event.type async for event in events.watch()]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    events.tell(Event("one", {}))
    await asyncio.sleep(0)
    events.close()
    assert await asyncio.wait_for(reading, 5) == ["one"]


async def test_a_slow_watcher_loses_the_oldest():
    events = Events()
    watched = events.watch()
    for number in range(MOST_WAITING + 5):
        events.tell(Event(str(number), {}))
    assert (await anext(watched)).type == "5"


def test_a_listener_is_called_until_it_has_had_enough():
    events, heard = Events(), []
    stop = events.listen(heard.append)
    event = Event("one", {})
    events.tell(event)
    stop()
    events.tell(Event("two", {}))
    assert heard == [event]
