"""The standard health protocol on the real ports, asked by a plain gRPC client and by grpc_health_probe."""

import os
import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.system import BACKENDS, ROOT, wait_for

SERVICES = {
    "converter": "converter.v1.ConverterService",
    "media": "media.v1.MediaService",
    "llmproxy": "llmproxy.v1.LlmProxyService",
}
COMPONENTS = {"converter": "converter.ice", "media": "media.source", "llmproxy": "llmproxy.provider.local"}
WORDS = health_pb2.HealthCheckResponse


@pytest.fixture(params=BACKENDS)
def name(request):
    return request.param


@pytest.fixture
def stub(system, name):
    with grpc.insecure_channel(f"127.0.0.1:{system.ports[name]}") as channel:
        yield health_pb2_grpc.HealthStub(channel)


@pytest.fixture(scope="session")
def probe():
    found = ROOT / ".cache" / "bin" / "grpc_health_probe"
    if not found.exists():
        pytest.skip("grpc_health_probe was not built: Go is missing or its registry refused")
    return found


def test_every_readiness_name_serves(stub, name):
    for asked in ("", "readiness", "liveness", SERVICES[name], COMPONENTS[name]):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=asked), timeout=5)
        assert answer.status == WORDS.SERVING, asked


def test_an_unknown_name_is_not_found(stub):
    with pytest.raises(grpc.RpcError) as failure:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_watching_an_unknown_name_stays_open(stub):
    watching = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
    assert next(watching).status == WORDS.SERVICE_UNKNOWN
    assert watching.is_active()
    watching.cancel()


def test_list_names_everything(stub, name):
    listed = stub.List(health_pb2.HealthListRequest(), timeout=5).statuses
    assert {"", "readiness", "liveness", SERVICES[name], COMPONENTS[name]} <= listed.keys()


def test_a_draining_backend_is_not_serving_but_alive(own_system, name):
    own_system.start(name, **{f"PULSEGATE_{name.upper()}_DRAIN_SECONDS": "600"})
    wait_for(lambda: own_system.started(name), 60, f"{name} to listen")
    own_system.processes[name].terminate()
    with grpc.insecure_channel(f"127.0.0.1:{own_system.ports[name]}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def status(asked):
            return stub.Check(health_pb2.HealthCheckRequest(service=asked), timeout=5).status

        wait_for(lambda: status("") == WORDS.NOT_SERVING, 5, f"{name} to drain")
        assert status(SERVICES[name]) == status("readiness") == WORDS.NOT_SERVING
        assert status("liveness") == WORDS.SERVING
    own_system.kill(name)


def run(probe, *arguments):
    done = subprocess.run([probe, *arguments], env=os.environ, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_grpc_health_probe_exits_as_documented(probe, system, name):
    address = f"-addr=127.0.0.1:{system.ports[name]}"
    assert run(probe, address) == (0, "status: SERVING")
    assert run(probe, address, f"-service={COMPONENTS[name]}") == (0, "status: SERVING")
    code, text = run(probe, address, "-service=nobody")
    assert (code, "NotFound" in text) == (3, True)
    code, text = run(probe, "-addr=127.0.0.1:1", "-connect-timeout=250ms")
    assert (code, "failed to connect" in text) == (2, True)


def test_grpc_health_probe_tells_a_draining_backend(probe, own_system, name):
    own_system.start(name, **{f"PULSEGATE_{name.upper()}_DRAIN_SECONDS": "600"})
    wait_for(lambda: own_system.started(name), 60, f"{name} to listen")
    own_system.processes[name].terminate()
    address = f"-addr=127.0.0.1:{own_system.ports[name]}"
    wait_for(
        lambda: run(probe, address) == (4, 'service unhealthy (responded with "NOT_SERVING")'), 5, f"{name} to drain"
    )
    own_system.kill(name)
