import asyncio
from datetime import UTC, datetime

import grpc
import pytest

from gateway.backend import Backend
from gateway.errors import BackendError
from gateway.monitor import Monitor, Picture, Replica, Watched, Word
from gen.converter.v1 import converter_pb2, converter_pb2_grpc
from runtime import logs


@pytest.fixture
async def backend(thing, serve_thing, until):
    async with serve_thing(thing) as address:
        monitor = Monitor(
            [
                Watched(
                    "thing",
                    address,
                    (),
                    lambda channel: converter_pb2_grpc.ConverterServiceStub(channel).WatchStatus(
                        converter_pb2.WatchStatusRequest()
                    ),
                )
            ]
        )
        monitor.start()
        backend = Backend("thing", address, converter_pb2_grpc.ConverterServiceStub, monitor)
        await until(lambda: backend.picture.serving())
        yield backend
        await backend.close()
        await monitor.close()


def convert(**fields):
    return converter_pb2.ConvertRequest(**fields)


async def test_a_call_answers_in_blocking_style(backend):
    answer = await asyncio.to_thread(lambda: backend.call(backend.stub.Convert, convert(value=2), 5))
    assert answer.value == 4


async def test_a_failed_call_tells_code_and_details(backend):
    with pytest.raises(BackendError) as failure:
        await backend.call_async(backend.stub.Convert, convert(category="unknown"), 5)
    assert (failure.value.code, failure.value.details) == (grpc.StatusCode.NOT_FOUND, "no such category")
    assert failure.value.status == 404


async def test_a_call_without_answer_ends_at_its_deadline_and_is_cancelled(backend, thing):
    with pytest.raises(BackendError) as failure:
        await backend.call_async(backend.stub.Convert, convert(category="hang"), 0.1)
    assert failure.value.status == 504
    async with asyncio.timeout(5):
        await thing.cancelled.wait()


async def test_the_request_id_travels_to_the_backend(backend, thing):
    logs.request_id.set("abc")
    await backend.call_async(backend.stub.Convert, convert(), 5)
    assert thing.calls[-1]["x-request-id"] == "abc"


async def test_a_stream_is_read_in_blocking_style_and_closing_it_cancels_the_call(backend, thing, until):
    def first():
        events = backend.stream(backend.stub.WatchStatus, converter_pb2.WatchStatusRequest(), 5)
        event = next(events)
        events.close()
        return event

    watchers = len(thing.feed._watchers)
    event = await asyncio.to_thread(first)
    assert event.status.version == "1"
    await until(lambda: len(thing.feed._watchers) == watchers)


async def test_a_backend_known_to_be_unreachable_is_not_called(thing, serve_thing, until):
    monitor = Monitor([])
    monitor._replicas["thing"] = {}
    backend = Backend("thing", "127.0.0.1:1", converter_pb2_grpc.ConverterServiceStub, monitor)
    with pytest.raises(BackendError) as failure:
        await backend.call_async(backend.stub.Convert, convert(), 3600)
    assert failure.value.status == 503
    await backend.close()


class Seen:
    """A monitor that sees what a test says, ahead of the channel."""

    def __init__(self, *, serving):
        self._picture = Picture("thing", (replica(serving=serving),))

    def picture(self, _name):
        return self._picture


def replica(*, serving):
    word = Word("SERVING" if serving else "NOT_SERVING", datetime.now(UTC))
    return Replica("thing", reachable=True, words={"": word}, judged=True)


@pytest.fixture
async def ahead(unused_tcp_port):
    """Make a backend for a port where nothing listens yet, which a monitor already says to be there."""
    made = []

    def make(*, serving):
        address = f"127.0.0.1:{unused_tcp_port}"
        made.append(Backend("thing", address, converter_pb2_grpc.ConverterServiceStub, Seen(serving=serving)))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


async def test_a_call_waits_for_the_channel_to_reach_the_replica_that_the_monitor_sees(
    ahead, thing, serve_thing, unused_tcp_port
):
    backend = ahead(serving=True)
    calling = asyncio.create_task(backend.call_async(backend.stub.Convert, convert(value=2), 5))
    await asyncio.sleep(1)  # longer than a failed call is tried again
    assert not calling.done()
    async with serve_thing(thing, f"127.0.0.1:{unused_tcp_port}"):
        assert (await calling).value == 4


async def test_a_call_fails_at_once_while_the_monitor_sees_nobody_serving(ahead):
    backend = ahead(serving=False)
    with pytest.raises(BackendError) as failure:
        async with asyncio.timeout(2.5):  # a call that waited would take longer
            await backend.call_async(backend.stub.Convert, convert(value=2), 5)
    assert failure.value.status == 503


async def test_each_replica_is_asked_for_what_it_knows_of_itself_and_one_that_fails_is_told(thing, serve_thing, until):
    other = type(thing)()
    async with serve_thing(thing) as first, serve_thing(other) as second:
        monitor = Monitor(
            [
                Watched(
                    "thing",
                    f"{first},{second}",
                    (),
                    lambda channel: converter_pb2_grpc.ConverterServiceStub(channel).WatchStatus(
                        converter_pb2.WatchStatusRequest()
                    ),
                )
            ]
        )
        monitor.start()
        backend = Backend("thing", f"{first},{second}", converter_pb2_grpc.ConverterServiceStub, monitor)
        await until(lambda: sum(replica.serving() for replica in backend.picture.replicas) == 2)
        told = await asyncio.to_thread(lambda: backend.call_each("Convert", convert(value=2), 5))
        assert {address: answer.value for address, answer in told.items()} == {first: 4, second: 4}
        failed = await asyncio.to_thread(lambda: backend.call_each("Convert", convert(category="unknown"), 5))
        assert {address: error.code for address, error in failed.items()} == dict.fromkeys(
            (first, second), grpc.StatusCode.NOT_FOUND
        )
        await backend.close()
        await monitor.close()


async def test_nobody_is_asked_where_nobody_can_be_reached(thing, serve_thing):
    monitor = Monitor([])
    monitor._replicas["thing"] = {"a:1": Replica("a:1", judged=True)}
    backend = Backend("thing", "a:1", converter_pb2_grpc.ConverterServiceStub, monitor)
    with pytest.raises(BackendError):
        backend.call_each("Convert", convert(), 5)
    await backend.close()
