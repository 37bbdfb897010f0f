import asyncio
import math
import os
import signal
import subprocess
import sys

import pytest

Ice = pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

from gen.converter.v1 import converter_pb2 as pb  # noqa: E402  after the skip
from runtime.health import Health, Probe  # noqa: E402
from services.converter import units  # noqa: E402
from services.converter.bridge import Bridge  # noqa: E402
from services.converter.conversor import ConversorUnidades, UnidadInvalidaException  # noqa: E402
from services.converter.ice import IceClient, checked_proxy  # noqa: E402


class ForeignServant(ConversorUnidades):
    """Another implementation, whose answers cannot be mistaken for ours."""

    def convertirPeso(self, valor, desde, hasta, current):
        if desde == "nada":
            raise UnidadInvalidaException("no la conozco")
        if desde == "roto":
            raise ValueError("a bug over there")
        return 1000 + valor

    def convertirTemperatura(self, valor, desde, hasta, current):
        return math.nan

    def unidadesDisponibles(self, categoria, current):
        if categoria == "nada":
            raise UnidadInvalidaException("tampoco")
        return "a, b"


class Foreign:
    def __init__(self, port=0):
        data = Ice.InitializationData()
        data.properties = Ice.createProperties()
        data.properties.setProperty("Ice.Warn.Dispatch", "0")
        self._communicator = Ice.initialize(data)
        adapter = self._communicator.createObjectAdapterWithEndpoints("a", f"tcp -h 127.0.0.1 -p {port}")
        adapter.add(ForeignServant(), Ice.stringToIdentity("ConversorUnidades"))
        adapter.activate()
        self.port = adapter.getEndpoints()[0].getInfo().port
        self.proxy = f"ConversorUnidades:tcp -h 127.0.0.1 -p {self.port}"

    def close(self):
        self._communicator.destroy()


@pytest.fixture
def foreign():
    foreign = Foreign()
    yield foreign
    foreign.close()


@pytest.fixture
async def client(foreign):
    client = IceClient(foreign.proxy)
    yield client
    await client.close()


@pytest.fixture
def bridge(client):
    return Bridge(client)


def peso(value=1.0, from_unit="kg", category="Peso"):
    return pb.ConvertRequest(category=category, value=value, from_unit=from_unit, to_unit="g")


async def test_answers_are_those_of_the_foreign_server_each_in_its_place(bridge):
    outcomes = await bridge.convert([peso(1), peso(from_unit="nada"), peso(category="volumen"), peso(2)])
    assert [one.value for one in (outcomes[0], outcomes[3])] == [1001, 1002]
    assert (outcomes[1].error.reason, outcomes[1].error.message) == (
        pb.ConvertError.REASON_UNKNOWN_UNIT,
        "no la conozco",
    )
    assert outcomes[2].error.reason == pb.ConvertError.REASON_UNKNOWN_CATEGORY


async def test_nan_comes_through(bridge):
    (outcome,) = await bridge.convert([peso(category="temperatura")])
    assert math.isnan(outcome.value)


async def test_units_are_those_of_the_foreign_server(bridge):
    assert list(await bridge.units("peso")) == ["a", "b"]
    with pytest.raises(units.UnknownCategory):
        await bridge.units("nada")


async def test_a_bug_of_the_foreign_server_is_unavailable_and_its_text_stays_here(bridge):
    (outcome,) = await bridge.convert([peso(from_unit="roto")])
    assert (outcome.error.reason, outcome.error.message) == (pb.ConvertError.REASON_UNAVAILABLE, "UnknownException")


async def test_a_foreign_server_that_is_gone_is_unavailable_and_asked_about_at_once(bridge, client, foreign):
    await client.probe()
    foreign.close()
    asked = []
    client.on_lost = lambda: asked.append(True)
    (outcome,) = await bridge.convert([peso()])
    assert (outcome.error.reason, outcome.error.message) == (pb.ConvertError.REASON_UNAVAILABLE, "Connection refused")
    with pytest.raises(ConnectionError, match=r"^Connection refused$"):
        await bridge.units("peso")
    assert asked


async def test_a_foreign_server_that_came_back_is_used_without_a_restart(bridge, client, foreign):
    await bridge.convert([peso()])
    foreign.close()
    again = Foreign(foreign.port)
    (outcome,) = await bridge.convert([peso()])
    assert outcome.value == 1001
    again.close()


async def test_a_call_that_loses_its_connection_is_made_once_more_on_a_new_one():
    accepted = []

    async def accept_and_hang_up(reader, writer):
        accepted.append(writer)
        writer.write(b"IceP\1\0\1\0\3\0\x0e\0\0\0")
        await reader.readexactly(14)
        writer.close()

    server = await asyncio.start_server(accept_and_hang_up, "127.0.0.1", 0)
    client = IceClient(f"ConversorUnidades:tcp -h 127.0.0.1 -p {server.sockets[0].getsockname()[1]}")
    (outcome,) = await Bridge(client).convert([peso()])
    assert outcome.error.reason == pb.ConvertError.REASON_UNAVAILABLE
    assert outcome.error.message == "ConnectionLostException"
    assert len(accepted) == 2
    await client.close()
    server.close()


async def test_health_follows_a_foreign_process_through_late_start_freeze_kill_and_return(until):
    port = free_port()
    client = IceClient(f"ConversorUnidades:tcp -h 127.0.0.1 -p {port}")
    health = Health("converter.v1.ConverterService", [Probe("converter.ice", client.probe, interval_seconds=0.1)])
    client.on_lost = lambda: health.probe_now("converter.ice")
    await health.start()
    assert not health.serving()
    process = await start(port)
    await until(health.serving, 30)
    process.send_signal(signal.SIGSTOP)
    await until(lambda: not health.serving(), 3)
    process.send_signal(signal.SIGCONT)
    await until(health.serving, 2)
    process.kill()
    await until(lambda: not health.serving(), 1)
    await process.wait()
    second = await start(port)
    await until(health.serving, 30)
    second.kill()
    await second.wait()
    await health.close()
    await client.close()


def free_port():
    foreign = Foreign()
    foreign.close()
    return foreign.port


async def start(port):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.converter", "--address", "127.0.0.1:0", "--metrics-address", ""),
        *("--ice-address", f"127.0.0.1:{port}"),
        stderr=subprocess.DEVNULL,
        env=os.environ,
    )


def test_where_a_proxy_points_can_be_told():
    for proxy, address in (
        ("ConversorUnidades:default -h example.org -p 10000", "example.org:10000"),
        ("ConversorUnidades @ Somewhere", "ConversorUnidades -t -e 1.1 @ Somewhere"),
    ):
        client = IceClient(proxy)
        assert client.address == address
        client._communicator.destroy()


def test_a_proxy_that_makes_no_sense_is_a_value_error():
    assert checked_proxy("") == ""
    with pytest.raises(ValueError, match=r"^not an Ice proxy: "):
        checked_proxy("ConversorUnidades:nonsense -h")
