"""Real processes with certificates everywhere: what the chart's own commands ask, and what Prometheus hears."""

import shutil
import ssl
import subprocess
import urllib.request

import pytest

from tests.deploy.rendering import Helm, program
from tests.e2e.system import START_SECONDS, wait_for
from tests.integration.authority import Authority

TOKEN = "token-of-the-operators"


@pytest.fixture
def encrypted(own_system, tmp_path):
    """A converter and a gateway that speak TLS to each other and to clients."""
    authority = Authority()
    for process, host in (("converter", "localhost"), ("gateway", "localhost")):
        files = authority.files(tmp_path / process, host)
        prefix = f"PULSEGATE_{process.upper()}_GRPC"
        own_system.environment |= {
            f"{prefix}_CERTIFICATE": str(files.certificate),
            f"{prefix}_KEY": str(files.key),
            f"{prefix}_AUTHORITY": str(files.authority),
        }
    own_system.environment |= {
        "PULSEGATE_GATEWAY_TLS_CERTIFICATE": str(files.certificate),
        "PULSEGATE_GATEWAY_TLS_KEY": str(files.key),
        "PULSEGATE_GATEWAY_OPERATOR_TOKEN": TOKEN,
        "PULSEGATE_GATEWAY_CONVERTER_TARGET": f"localhost:{own_system.ports['converter']}",
    }
    own_system.start("converter", "gateway")
    wait_for(lambda: own_system.started("gateway") and own_system.started("converter"), START_SECONDS, "both to listen")
    return own_system


def metrics(system, tmp_path):
    asked = urllib.request.Request(
        system.url("operator", "/metrics").replace("http://127.0.0.1", "https://localhost"),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    context = ssl.create_default_context(cafile=tmp_path / "gateway" / "ca.crt")
    with urllib.request.urlopen(asked, timeout=10, context=context) as answer:
        return answer.read().decode()


def test_the_health_tests_of_the_chart_pass_and_the_end_of_every_certificate_is_told(encrypted, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    values = {
        "gateway": {
            "tls": {"ports": ["converter", "media", "llmproxy", "operator"]},
            "secret": {"values": {"PULSEGATE_GATEWAY_OPERATOR_TOKEN": TOKEN}},
        },
        "backends": {"media": {"enabled": False}, "llmproxy": {"enabled": False}},
    }
    (asking,) = Helm(program("helm4")).template(values).one("Pod", "pg-pulsegate-gateway-test")["spec"]["containers"]
    operator = encrypted.url("operator").replace("http:", "https:")
    command = [
        part.replace("https://pg-pulsegate-gateway:8080", operator).replace("$(OPERATOR_TOKEN)", TOKEN)
        for part in asking["command"] + asking["args"]
    ]
    assert any(part.endswith("?service=converter.v1.ConverterService") for part in command)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"converter":"serving"' in done.stdout.replace(" ", "")
    assert '"status":"SERVING"' in done.stdout.replace(" ", "")

    ends = [line for line in metrics(encrypted, tmp_path).splitlines() if line.startswith("pulsegate_certificate_")]
    uses = {line.partition('use="')[2].partition('"')[0] for line in ends}
    assert uses == {"grpc", "converter", "media", "llmproxy", "operator"}

    encrypted.kill("converter")
    command[command.index("--retry") + 1] = "0"
    wait_for(lambda: subprocess.run(command, capture_output=True, check=False).returncode, 10, "the test to fail")
