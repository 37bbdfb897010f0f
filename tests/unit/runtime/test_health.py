import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.health import Health, HealthServicer, Probe

SERVICE = "things.v1.ThingService"
WORDS = health_pb2.HealthCheckResponse


class Dependency:
    def __init__(self):
        self.fault = None
        self.asked = 0

    async def check(self):
        self.asked += 1
        if self.fault is not None:
            raise self.fault


@pytest.fixture
async def dependency():
    return Dependency()


@pytest.fixture
async def health(dependency):
    health = Health(SERVICE, [Probe("things.part", dependency.check, interval_seconds=0.01)])
    yield health
    await health.close()


@pytest.fixture
async def stub(health):
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await health.close()
    await server.stop(None)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_nothing_is_ready_before_the_first_verdict(health):
    assert not health.serving()
    assert not health.serving(SERVICE)
    assert health.serving("liveness")


async def test_every_readiness_name_serves_after_good_first_verdicts(health):
    await health.start()
    assert [health.serving(name) for name in ("", "readiness", SERVICE, "things.part")] == [True] * 4


async def test_the_first_verdict_is_known_when_start_returns(health, dependency):
    dependency.fault = ConnectionError("refused")
    await health.start()
    assert not health.serving()
    assert health.serving("liveness")
    by_name = {component.name: component for component in health.report()}
    assert by_name["things.part"].last_error == "refused"
    assert by_name[""].last_error == "not serving: things.part"


async def test_a_component_that_recovers_makes_the_process_ready_and_keeps_its_last_error(health, dependency):
    dependency.fault = ConnectionError("refused")
    await health.start()
    dependency.fault = None
    await until(health.serving)
    assert {one.name: one.last_error for one in health.report()}["things.part"] == "refused"


async def test_a_probe_that_hangs_is_not_serving_and_says_so(health):
    async def hang():
        await asyncio.Event().wait()

    await health.add(Probe("things.slow", hang, timeout_seconds=0.01, required=False))
    assert not health.serving("things.slow")
    assert {one.name: one.last_error for one in health.report()}["things.slow"] == "no answer within 0.01 s"


async def test_an_optional_component_never_decides_readiness(health):
    await health.start()
    health.set("things.extra", serving=False, error="gone", required=False)
    assert health.serving()


async def test_draining_ends_readiness_for_good_but_neither_liveness_nor_components(health):
    await health.start()
    health.drain()
    health.set("things.part", serving=False)
    health.set("things.part", serving=True)
    assert not health.serving()
    assert health.serving("liveness")
    assert health.serving("things.part")


async def test_observers_hear_of_changes_and_of_nothing_else(health):
    await health.start()
    heard = []
    health.on_change(lambda: heard.append(health.serving()))
    health.set("things.extra", serving=True, required=True)
    health.set("things.extra", serving=True, required=True)
    assert heard == [True]
    health.set("things.extra", serving=False, error="gone")
    assert heard == [True, False]


async def test_a_probe_can_be_asked_at_once(dependency):
    health = Health(SERVICE, [Probe("things.part", dependency.check, interval_seconds=3600)])
    await health.start()
    dependency.fault = ConnectionError("reset")
    health.probe_now("things.part")
    await until(lambda: not health.serving())
    await health.close()


async def test_check_answers_each_name(health, stub):
    await health.start()
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == WORDS.SERVING
    health.drain()
    assert (await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == WORDS.NOT_SERVING


async def test_check_of_an_unknown_name_is_not_found(health, stub):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watch_tells_the_status_at_once_and_each_change(health, stub, dependency):
    await health.start()
    watching = aiter(stub.Watch(health_pb2.HealthCheckRequest(service="things.part")))
    assert (await anext(watching)).status == WORDS.SERVING
    dependency.fault = ConnectionError("refused")
    assert (await anext(watching)).status == WORDS.NOT_SERVING
    dependency.fault = None
    assert (await anext(watching)).status == WORDS.SERVING


async def test_watch_of_an_unknown_name_waits_until_the_name_appears(health, stub):
    watching = aiter(stub.Watch(health_pb2.HealthCheckRequest(service="things.late")))
    assert (await anext(watching)).status == WORDS.SERVICE_UNKNOWN
    health.set("things.late", serving=True)
    assert (await anext(watching)).status == WORDS.SERVING
    health.remove("things.late")
    assert (await anext(watching)).status == WORDS.SERVICE_UNKNOWN


async def test_closing_ends_watchers_so_that_a_server_stops_without_its_grace(health, stub):
    watching = aiter(stub.Watch(health_pb2.HealthCheckRequest()))
    await anext(watching)
    await health.close()
    async with asyncio.timeout(5):
        assert [answer async for answer in watching] == []


async def test_list_answers_every_name(health, stub):
    await health.start()
    listed = (await stub.List(health_pb2.HealthListRequest())).statuses
    assert {name: answer.status for name, answer in listed.items()} == dict.fromkeys(
        ["", "readiness", "liveness", SERVICE, "things.part"], WORDS.SERVING
    )


async def test_list_of_more_than_a_hundred_names_is_refused(health, stub):
    for number in range(100):
        health.set(f"things.{number}", serving=True)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.List(health_pb2.HealthListRequest())
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
