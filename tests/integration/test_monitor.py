import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from gateway.monitor import Monitor, Watched
from gen.converter.v1 import converter_pb2, converter_pb2_grpc


def watch_status(channel):
    return converter_pb2_grpc.ConverterServiceStub(channel).WatchStatus(converter_pb2.WatchStatusRequest())


@asynccontextmanager
async def watching(target, names=(), freshness_seconds=2.0, **how):
    monitor = Monitor([Watched("thing", target, names, watch_status)], freshness_seconds, **how)
    monitor.start()
    try:
        yield monitor
    finally:
        await monitor.close()


@pytest.fixture
def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_there_is_no_verdict_before_the_first_try(free_address):
    async with watching(free_address) as monitor:
        assert not monitor.judged()


async def test_nothing_listening_is_unreachable_with_the_reason(free_address, until):
    async with watching(free_address) as monitor:
        await until(monitor.judged)
        picture = monitor.picture("thing")
        assert (picture.reachable, picture.serving()) == (False, False)
        assert picture.replicas[0].last_error.startswith("unavailable: ")
        assert "refused" in picture.replicas[0].last_error
        assert "all addresses" not in picture.replicas[0].last_error


async def test_a_serving_backend_is_seen_with_its_status(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        assert [status.version for status in monitor.picture("thing").statuses()] == ["1"]
        assert monitor.picture("thing").replicas[0].check_seconds > 0


async def test_a_changed_status_document_is_seen(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        version = monitor.version
        thing.say("2")
        await until(lambda: monitor.picture("thing").statuses()[0].version == "2")
        assert monitor.version > version


async def test_a_lost_component_is_seen_while_the_backend_stays_reachable(thing, serve_thing, until):
    thing.health.set("thing.part", serving=True, required=True)
    async with serve_thing(thing) as address, watching(address, ("thing.part",)) as monitor:
        await until(lambda: monitor.picture("thing").serving("thing.part"))
        thing.health.set("thing.part", serving=False, error="gone")
        await until(lambda: not monitor.picture("thing").serving("thing.part"))
        await until(lambda: not monitor.picture("thing").serving())
        assert monitor.picture("thing").reachable


async def test_a_backend_that_stops_is_unreachable_and_its_words_are_forgotten(thing, serve_thing, until):
    async with serve_thing(thing) as address:
        monitor = Monitor([Watched("thing", address, (), watch_status)])
        monitor.start()
        await until(lambda: monitor.picture("thing").serving())
    await until(lambda: not monitor.picture("thing").reachable)
    assert not monitor.picture("thing").serving("liveness")
    assert monitor.picture("thing").statuses() == []
    await monitor.close()


async def test_a_backend_started_later_or_again_is_picked_up(thing, serve_thing, free_address, until):
    async with watching(free_address) as monitor:
        await until(monitor.judged)
        async with serve_thing(thing, free_address):
            await until(lambda: monitor.picture("thing").serving())
        await until(lambda: not monitor.picture("thing").reachable)
        again = type(thing)()
        async with serve_thing(again, free_address):
            await until(lambda: monitor.picture("thing").serving())


async def test_a_process_that_stopped_thinking_is_unreachable_though_its_streams_live(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address, freshness_seconds=0.2) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        thing.health_servicer.stuck = True
        await until(lambda: not monitor.picture("thing").reachable)
        assert monitor.picture("thing").replicas[0].last_error == "no answer for 0.2 s"
        thing.health_servicer.stuck = False
        await until(lambda: monitor.picture("thing").serving())
        assert monitor.picture("thing").replicas[0].last_error == "no answer for 0.2 s"


async def test_since_moves_only_when_reachability_does(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        since = monitor.picture("thing").replicas[0].since
        thing.say("2")
        await until(lambda: monitor.picture("thing").statuses()[0].version == "2")
        assert monitor.picture("thing").replicas[0].since == since


async def test_one_of_two_replicas_is_enough(thing, serve_thing, free_address, until):
    async with serve_thing(thing) as address, watching(f"{address},{free_address}") as monitor:
        await until(monitor.judged)
        await until(lambda: monitor.picture("thing").serving())
        reachable = {replica.address: replica.reachable for replica in monitor.picture("thing").replicas}
        assert reachable == {address: True, free_address: False}


async def test_changes_tell_the_version_at_once_and_on_each_rise(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        changes = monitor.changes()
        first = await anext(changes)
        thing.say("2")
        async with asyncio.timeout(5):
            assert await anext(changes) > first
        await changes.aclose()


async def test_changes_break_a_long_silence_though_nothing_changed(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        changes = monitor.changes(longest_silence_seconds=0.05)
        async with asyncio.timeout(5):
            assert await anext(changes) == await anext(changes)
        await changes.aclose()


async def test_what_changes_faster_than_the_shortest_silence_is_told_once(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        await until(lambda: monitor.picture("thing").serving())
        changes = monitor.changes(shortest_silence_seconds=0.3)
        first = await anext(changes)
        for version in ("2", "3"):
            thing.say(version)
            await until(lambda wanted=version: monitor.picture("thing").statuses()[0].version == wanted)
        async with asyncio.timeout(5):
            assert await anext(changes) == monitor.version >= first + 2
        await changes.aclose()


async def test_who_follows_the_changes_comes_to_an_end(free_address):
    async with watching(free_address) as monitor:
        changes = monitor.changes()
        await anext(changes)
        monitor.end_changes()
        async with asyncio.timeout(5):
            assert len([version async for version in changes]) <= 1


async def test_an_observer_sees_every_new_picture(thing, serve_thing, until):
    async with serve_thing(thing) as address, watching(address) as monitor:
        seen = []
        monitor.on_change(lambda picture: seen.append((picture.name, picture.state)))
        await until(lambda: ("thing", "serving") in seen)


class Names:
    """A name server a test can change."""

    def __init__(self, *addresses):
        self.addresses = list(addresses)

    async def resolve(self, target):
        if not self.addresses:
            raise OSError(-2, f"{target} is not known")
        return self.addresses


async def test_replicas_come_and_go_with_their_name(thing, serve_thing, until):
    other = type(thing)()
    async with serve_thing(thing) as one, serve_thing(other) as two:
        names = Names(one)
        async with watching("things:1", resolve=names.resolve, resolve_seconds=0.01) as monitor:
            await until(lambda: monitor.picture("thing").serving())
            names.addresses = [one, two]
            await until(lambda: [replica.serving() for replica in monitor.picture("thing").replicas] == [True, True])
            version = monitor.version
            names.addresses = [two]
            await until(lambda: [replica.address for replica in monitor.picture("thing").replicas] == [two])
            assert monitor.version > version


async def test_a_name_server_that_fails_takes_no_replica_along(thing, serve_thing, until):
    async with serve_thing(thing) as address:
        names = Names(address)
        async with watching("things:1", resolve=names.resolve, resolve_seconds=0.01) as monitor:
            await until(lambda: monitor.picture("thing").serving())
            names.addresses = []
            await asyncio.sleep(0.05)
            assert monitor.picture("thing").serving()


async def test_a_name_that_is_not_known_is_a_verdict_until_it_is(thing, serve_thing, until):
    names = Names()
    async with (
        serve_thing(thing) as address,
        watching("things:1", resolve=names.resolve, resolve_seconds=0.01) as monitor,
    ):
        await until(monitor.judged)
        (replica,) = monitor.picture("thing").replicas
        assert (replica.reachable, replica.last_error) == (False, "cannot resolve things:1: things:1 is not known")
        names.addresses = [address]
        await until(lambda: monitor.picture("thing").serving())
        assert [replica.address for replica in monitor.picture("thing").replicas] == [address]
