import asyncio
import json
import signal
import socket
import subprocess
import sys

import pytest

pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

VALIDATE_CONNECTION, CLOSE_CONNECTION = 3, 4


@pytest.fixture
async def started():
    processes = []

    async def start(*flags):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.converter", "--address", "127.0.0.1:0", "--metrics-address", "", "--drain-seconds", "0"),
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
        if json.loads(line)["message"] == "listening":
            return
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
