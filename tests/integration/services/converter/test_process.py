import asyncio
import json
import signal
import socket
import subprocess
import sys

import grpc
import pytest

from gen.converter.v1 import converter_pb2, converter_pb2_grpc

pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

VALIDATE_CONNECTION, CLOSE_CONNECTION = 3, 4


@pytest.fixture
async def started():
    processes = []

    async def start(*flags):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(
                "-m",
                "services.converter",
                "--address",
                "127.0.0.1:0",
                "--metrics-address",
                "off",
                "--drain-seconds",
                "0",
            ),
            *flags,
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def free_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"127.0.0.1:{port}"


async def listening(process):
    while line := await process.stderr.readline():
        if (told := json.loads(line))["message"] == "listening":
            return told
    pytest.fail("the process ended before it listened")


async def test_a_taken_ice_port_is_one_line_and_exit_code_four(started):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = await started("--ice-address", address)
        async with asyncio.timeout(30):
            _, complaint = await process.communicate()
    assert process.returncode == 4
    assert complaint.decode() == f"Error: cannot bind Ice on {address}: Address already in use\n"


async def test_sigterm_says_goodbye_to_ice_clients_and_exits_with_zero(started, free_address):
    process = await started("--ice-address", free_address)
    async with asyncio.timeout(30):
        await listening(process)
        host, _, port = free_address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert (await reader.readexactly(14))[8] == VALIDATE_CONNECTION
        process.send_signal(signal.SIGTERM)
        assert (await reader.readexactly(14))[8] == CLOSE_CONNECTION
        assert await reader.read() == b""
        writer.close()
        assert await process.wait() == 0


async def test_a_bridge_speaks_for_a_foreign_server_and_serves_no_ice_itself(started, free_address):
    foreign = await started("--ice-address", free_address)
    bridge = await started("--ice-endpoint", f"ConversorUnidades:tcp -h 127.0.0.1 -p {free_address.rpartition(':')[2]}")
    async with asyncio.timeout(30):
        await listening(foreign)
        address = (await listening(bridge))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            stub = converter_pb2_grpc.ConverterServiceStub(channel)
            watching = aiter(stub.WatchStatus(converter_pb2.WatchStatusRequest(), timeout=30))
            while not (document := (await anext(watching)).status).ice.connected:
                pass
            assert (document.ice.mode, document.ice.address) == (converter_pb2.IceStatus.MODE_BRIDGE, free_address)
            asked = converter_pb2.ConvertRequest(category="peso", value=1, from_unit="kg", to_unit="g")
            assert (await stub.Convert(asked, timeout=5)).value == 1000
            foreign.kill()
            while (await anext(watching)).status.ice.connected:
                pass
            for call in (stub.Convert(asked), stub.ListUnits(converter_pb2.ListUnitsRequest(category="peso"))):
                with pytest.raises(grpc.aio.AioRpcError) as failure:
                    await call
                assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_ice_endpoint_that_makes_no_sense_is_one_line_and_exit_code_two(started):
    process = await started("--ice-endpoint", "nonsense:")
    async with asyncio.timeout(30):
        _, complaint = await process.communicate()
    assert process.returncode == 2
    assert complaint.decode().startswith("Error: converter.ice_endpoint: ")
    assert complaint.count(b"\n") == 1
