"""`pulsegate healthcheck` against real servers: the exit codes and texts of grpc_health_probe."""

import asyncio
import subprocess
import sys

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2_grpc

from runtime import healthcheck
from runtime.health import Health, HealthServicer, Probe

COMMAND = [sys.executable, "-c", "import sys; from runtime.command import main; sys.exit(main())", "healthcheck"]


@pytest.fixture
def ask(capfd):
    """Ask from a thread beside the server on the loop."""

    async def ask_with(*flags: str) -> tuple[int, str]:
        code = await asyncio.to_thread(healthcheck.main, flags)
        said = capfd.readouterr()
        assert not said.out
        return code, said.err

    return ask_with


class Server:
    """A server whose health methods are what a test gives it."""

    def __init__(self, servicer: health_pb2_grpc.HealthServicer | None) -> None:
        self.server = grpc.aio.server()
        if servicer:
            health_pb2_grpc.add_HealthServicer_to_server(servicer, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def __aenter__(self) -> str:
        await self.server.start()
        return f"127.0.0.1:{self.port}"

    async def __aexit__(self, *_exception: object) -> None:
        await self.server.stop(None)


class Slow(health_pb2_grpc.HealthServicer):
    async def Check(self, request, context):
        await asyncio.sleep(60)


class Closed(health_pb2_grpc.HealthServicer):
    """Lets in only who knows the word, and remembers how it was asked."""

    def __init__(self, inner: HealthServicer) -> None:
        self.inner = inner
        self.agent = ""

    async def Check(self, request, context):
        told = dict(context.invocation_metadata())
        self.agent = told["user-agent"]
        if told.get("x-word") != "open: sesame":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return await self.inner.Check(request, context)


@pytest.fixture
async def health():
    async def fail() -> None:
        raise RuntimeError("broken")

    health = Health("news.v1.NewsService", [Probe("news.source", fail, required=False)])
    await health.start()
    yield health
    await health.close()


async def test_serving_is_exit_0(health, ask):
    async with Server(HealthServicer(health)) as address:
        assert await ask("-addr", address) == (0, "status: SERVING\n")
        assert await ask(f"--addr={address}", "-service=liveness", "-gzip", "ignored") == (0, "status: SERVING\n")
        assert await ask("-addr", f":{address.rpartition(':')[2]}") == (0, "status: SERVING\n")


async def test_not_serving_is_exit_4(health, ask):
    async with Server(HealthServicer(health)) as address:
        code, text = await ask("-addr", address, "-service", "news.source")
    assert (code, text) == (4, 'service unhealthy (responded with "NOT_SERVING")\n')


async def test_an_unknown_name_is_exit_3(health, ask):
    async with Server(HealthServicer(health)) as address:
        code, text = await ask("-addr", address, "-service", "nobody")
    assert (code, text) == (3, "error: health rpc failed: rpc error: code = NotFound desc = \n")


async def test_a_server_without_health_is_exit_3(ask):
    async with Server(None) as address:
        code, text = await ask("-addr", address)
    assert code == 3
    assert text.startswith("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ")


async def test_an_answer_that_does_not_come_is_exit_3(ask):
    async with Server(Slow()) as address:
        code, text = await ask("-addr", address, "-rpc-timeout", "100ms", "-connect-timeout", "10s")
    assert (code, text) == (3, "timeout: health rpc did not complete within 100ms\n")


async def test_a_header_and_the_user_agent_are_sent(health, ask):
    closed = Closed(HealthServicer(health))
    async with Server(closed) as address:
        code, text = await ask("-addr", address)
        assert (code, text) == (3, "error: health rpc failed: rpc error: code = Unauthenticated desc = who are you?\n")
        assert closed.agent.startswith("grpc_health_probe ")
        assert await ask("-addr", address, "-rpc-header", "X-Word: open: sesame", "-user-agent", "me") == (
            0, "status: SERVING\n"
        )  # fmt: skip
        assert closed.agent.startswith("me ")


@pytest.mark.parametrize("tls", [(), ("-tls",)], ids=["plaintext", "tls"])
async def test_nothing_to_connect_to_is_exit_2(free_port, tls, ask):
    code, text = await ask("-addr", f"127.0.0.1:{free_port}", "-connect-timeout", "300ms", *tls)
    assert (code, text) == (2, f'timeout: failed to connect service "127.0.0.1:{free_port}" within 300ms\n')


async def test_tls_against_plaintext_says_nothing_but_that_it_failed(health):
    async with Server(HealthServicer(health)) as address:
        flags = ["-addr", address, "-tls", "-connect-timeout", "300ms"]
        done = await asyncio.to_thread(subprocess.run, [*COMMAND, *flags], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f'timeout: failed to connect service "{address}" within 300ms\n'


async def test_verbose_tells_the_time_it_took(health, ask):
    async with Server(HealthServicer(health)) as address:
        code, text = await ask("-addr", address, "-v")
    assert code == 0
    assert text.startswith("time elapsed: connect=")
    assert text.endswith("status: SERVING\n")


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]  # bound and not listening: refused, and nobody else's
