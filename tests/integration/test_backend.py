import asyncio

import grpc
import pytest

from gateway.backend import Backend
from gateway.errors import BackendError
from gateway.monitor import Monitor, Watched
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
