"""gRPC between the gateway and a backend with certificates on both sides, which are replaced while both run."""

import asyncio
import shutil

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import channel
from gateway.backend import Backend
from gateway.monitor import Monitor, Watched
from runtime import healthcheck
from runtime.health import Health, HealthServicer
from runtime.tls import CertificateFiles, certificate_files
from tests.integration.authority import Authority


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
async def serve():
    """Serve health with certificates; return the port."""
    servers, healths = [], []

    async def start(files: CertificateFiles) -> int:
        health = Health("news.v1.NewsService")
        await health.start()
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
        port = server.add_secure_port("127.0.0.1:0", files.server_credentials())
        await server.start()
        servers.append(server)
        healths.append(health)
        return port

    yield start
    for health in healths:
        await health.close()
    for server in servers:
        await server.stop(None)


async def one_document(_channel):
    """Stand in for a status stream: it says one thing and stays open."""
    yield health_pb2.HealthCheckResponse()
    await asyncio.Event().wait()


async def seen_by_a_gateway(port: int, files: CertificateFiles | None) -> str:
    """Tell what a check over a replica's own channel brings: SERVING, or the error's code."""
    async with channel.open_direct(f"127.0.0.1:{port}", f"localhost:{port}", files) as direct:
        try:
            answer = await health_pb2_grpc.HealthStub(direct).Check(health_pb2.HealthCheckRequest(), timeout=3)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_both_sides_with_certificates_of_one_authority_talk(authority, serve, tmp_path):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    client = authority.files(tmp_path / "gateway", "gateway")
    assert await seen_by_a_gateway(port, client) == "SERVING"


async def test_the_balanced_channel_believes_the_same_name(authority, serve, tmp_path):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    client = authority.files(tmp_path / "gateway", "gateway")
    async with channel.open_balanced(f"localhost:{port}", client) as balanced:
        async with asyncio.timeout(5):
            await balanced.channel_ready()


@pytest.mark.parametrize("wrong", ["plaintext", "another authority", "another name"])
async def test_who_cannot_prove_itself_gets_nothing(authority, serve, tmp_path, wrong):
    host = "elsewhere" if wrong == "another name" else "localhost"
    port = await serve(authority.files(tmp_path / "backend", host))
    stranger = Authority() if wrong == "another authority" else authority
    client = None if wrong == "plaintext" else stranger.files(tmp_path / "gateway", "gateway")
    assert await seen_by_a_gateway(port, client) == "UNAVAILABLE"


async def test_a_replaced_certificate_counts_without_a_restart(authority, serve, tmp_path):
    files = authority.files(tmp_path / "backend", "localhost")
    port = await serve(files)
    assert await seen_by_a_gateway(port, authority.files(tmp_path / "gateway", "gateway")) == "SERVING"
    successor = Authority()
    client = successor.files(tmp_path / "gateway", "gateway")
    assert await seen_by_a_gateway(port, client) == "UNAVAILABLE"
    successor.files(tmp_path / "backend", "localhost")
    assert await seen_by_a_gateway(port, client) == "SERVING"


async def test_the_gateway_goes_over_to_a_new_channel_when_its_certificate_is_replaced(
    authority, serve, tmp_path, until
):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    files = authority.files(tmp_path / "gateway", "gateway")
    backend = Backend("news", f"localhost:{port}", health_pb2_grpc.HealthStub, Monitor([]), files)
    first = backend.stub
    assert (await first.Check(health_pb2.HealthCheckRequest(), timeout=5)).status
    following = asyncio.create_task(backend.follow(files, interval_seconds=0.01))
    await asyncio.sleep(0)
    authority.files(tmp_path / "gateway", "gateway", "renewed")
    await until(lambda: backend.stub is not first)
    assert (await backend.stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status
    following.cancel()
    await backend.close()


async def test_a_certificate_that_vanishes_leaves_the_last_one_in_use(authority, serve, tmp_path):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    client = authority.files(tmp_path / "gateway", "gateway")
    shutil.rmtree(tmp_path / "backend")
    assert await seen_by_a_gateway(port, client) == "SERVING"


async def test_the_monitor_reaches_a_backend_with_certificates(authority, serve, tmp_path, until):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    backend = Watched("news", f"localhost:{port}", (), one_document)
    monitor = Monitor([backend], certificates=authority.files(tmp_path / "gateway", "gateway"))
    monitor.start()
    await until(lambda: monitor.picture("news").serving())
    await monitor.close()


async def test_the_monitor_survives_a_certificate_that_is_missing_for_a_moment(authority, serve, tmp_path, until):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    files = authority.files(tmp_path / "gateway", "gateway")
    files.key.rename(tmp_path / "away")
    monitor = Monitor([Watched("news", f"localhost:{port}", (), one_document)], certificates=files)
    monitor.start()
    await until(lambda: "tls.key" in "".join(replica.last_error for replica in monitor.picture("news").replicas))
    (tmp_path / "away").rename(files.key)
    await until(lambda: monitor.picture("news").serving())
    await monitor.close()


async def test_the_health_check_asks_with_certificates(authority, serve, tmp_path, capfd):
    port = await serve(authority.files(tmp_path / "backend", "localhost"))
    folder = tmp_path / "backend"
    flags = ["-addr", f"localhost:{port}", "-tls", "-tls-ca-cert", f"{folder}/ca.crt", "-connect-timeout", "5s"]
    proof = ["-tls-client-cert", f"{folder}/tls.crt", "-tls-client-key", f"{folder}/tls.key"]
    assert await asyncio.to_thread(healthcheck.main, [*flags, *proof]) == 0
    assert await asyncio.to_thread(healthcheck.main, [*flags[:-1], "500ms"]) in (2, 3)
    capfd.readouterr()


def test_a_certificate_without_its_key_is_refused():
    assert certificate_files("", "", "") is None
    with pytest.raises(ValueError, match="belong together"):
        certificate_files("tls.crt", "", "ca.crt")


def test_a_certificate_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*tls\.crt"):
        certificate_files(f"{tmp_path}/tls.crt", f"{tmp_path}/tls.key", "")
