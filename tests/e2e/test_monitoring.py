"""Prometheus and blackbox_exporter, as Debian has them, with the shipped configuration before the real processes."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from gateway.settings import GatewaySettings
from services.converter.settings import ConverterSettings
from services.llmproxy.settings import LlmProxySettings
from services.media.settings import MediaSettings
from tests.e2e.system import BACKENDS, DOCUMENTED_PORTS, ROOT, START_SECONDS, free_ports, wait_for

FOLDER = ROOT / "deploy" / "monitoring"
RULES = ROOT / "deploy" / "helm" / "files" / "alerts.yaml"
SECONDS = 60.0  # two cold starts on a busy machine; nothing is measured


def program(name):
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not found:
        pytest.skip(f"{name} is not on this machine; make test installs it where it can")
    return found


@contextmanager
def running(folder, *command):
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([str(part) for part in command], cwd=folder, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def shipped(name, ports):
    """Read a shipped file with the documented ports replaced, and everything quick enough for a test."""
    text = (FOLDER / name).read_text()
    for documented, actual in ports.items():
        text = re.sub(rf"localhost:{documented}\b", f"127.0.0.1:{actual}", text)
    return re.sub(r"(_interval|timeout): \d+s", r"\1: 1s", text)


class Prometheus:
    def __init__(self, port):
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path, **query):
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, query, *labels):
        """Tell the value of each series by some of its labels."""
        try:
            result = self.ask("/api/v1/query", query=query)["result"]
        except OSError:  # not there yet
            return {}
        return {tuple(one["metric"].get(label, "") for label in labels): one["value"][1] for one in result}

    def firing(self):
        alerts = self.ask("/api/v1/alerts")["alerts"]
        return {
            (one["labels"]["alertname"], one["labels"].get("instance", ""))
            for one in alerts
            if one["state"] == "firing"
        }


@pytest.fixture
def watched(own_system):
    """The converter, the LLM proxy and the gateway running, and watched."""
    prometheus_port, blackbox_port, *metrics = free_ports(2 + len(BACKENDS))
    folder = own_system.folder
    own_system.metrics = dict(zip(BACKENDS, metrics, strict=True))
    for name, port in own_system.metrics.items():
        own_system.environment[f"PULSEGATE_{name.upper()}_METRICS_ADDRESS"] = f"127.0.0.1:{port}"
    ports = {documented: own_system.ports[f"{name} rest"] for name, documented in DOCUMENTED_PORTS.items()}
    ports |= {50051 + index: own_system.ports[name] for index, name in enumerate(BACKENDS)}
    ports |= {9101 + index: own_system.metrics[name] for index, name in enumerate(BACKENDS)}
    (folder / "blackbox.yml").write_text(shipped("blackbox.yml", ports))
    (folder / "prometheus.yml").write_text(
        shipped("prometheus.yml", ports | {9115: blackbox_port}).replace("../helm/files/", "own-")
    )
    for source, copy in ((FOLDER / "alerts.yaml", "alerts.yaml"), (RULES, "own-alerts.yaml")):
        (folder / copy).write_text(re.sub(r"for: \d+m", "for: 0s", source.read_text()))
    exporter = [program("prometheus-blackbox-exporter"), f"--config.file={folder}/blackbox.yml"]
    prometheus = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    own_system.start("converter", "llmproxy", "gateway")
    with (
        running(folder, *exporter, f"--web.listen-address=127.0.0.1:{blackbox_port}"),
        running(folder, *prometheus, f"--web.listen-address=127.0.0.1:{prometheus_port}"),
    ):
        wanted = {"converter": "serving", "llmproxy": "serving"}
        wait_for(lambda: wanted.items() <= (own_system.states() or {}).items(), START_SECONDS, "both to serve")
        own_system.prometheus = Prometheus(prometheus_port)
        yield own_system


def test_prometheus_scrapes_probes_and_alerts(watched):
    prometheus = watched.prometheus
    grpc = {name: f"127.0.0.1:{watched.ports[name]}" for name in BACKENDS}
    rest = {
        "converter": watched.url("converter", "/api/status"),
        "media": watched.url("media", "/api/ready"),
        "llmproxy": watched.url("llmproxy", "/health"),
    }
    good = {
        (grpc["converter"], "pulsegate_grpc"): "1",
        (grpc["converter"], "pulsegate_converter_ice"): "1",
        (grpc["llmproxy"], "pulsegate_grpc"): "1",
        (grpc["media"], "pulsegate_grpc"): "0",  # was never started
        (rest["converter"], "pulsegate_converter_status"): "1",
        (rest["llmproxy"], "pulsegate_rest"): "1",
        (rest["media"], "pulsegate_rest"): "0",
        (watched.url("operator", "/readyz"), "pulsegate_rest"): "1",
    }
    wait_for(lambda: prometheus.values("probe_success", "instance", "module") == good, SECONDS, "every probe")
    components = {("gateway",): "1", ("converter",): "1", ("media",): "0", ("llmproxy",): "1"}
    wait_for(lambda: prometheus.values('up{job="pulsegate"}', "component") == components, SECONDS, "every scrape")
    codes = prometheus.values("probe_grpc_status_code", "instance", "module")
    assert codes[grpc["converter"], "pulsegate_converter_ice"] == "0"
    assert codes[grpc["media"], "pulsegate_grpc"] == "14"
    wait_for(lambda: ("PulsegateProbeFailing", grpc["media"]) in prometheus.firing(), SECONDS, "the alert of media")
    of_converter = {grpc["converter"], rest["converter"]}
    wait_for(lambda: not of_converter & {one for _, one in prometheus.firing()}, SECONDS, "no alert of the converter")

    watched.kill("converter")
    wanted = {
        ("PulsegateProbeFailing", grpc["converter"]),
        ("PulsegateProbeFailing", rest["converter"]),  # it says 200 and connected:false
        ("PulsegateTargetDown", f"127.0.0.1:{watched.metrics['converter']}"),
        ("PulsegateBackendUnreachable", ""),
    }
    wait_for(lambda: wanted <= prometheus.firing(), SECONDS, "the alerts of the killed converter")
    watched.start_and_wait("converter")
    wait_for(lambda: ("PulsegateProbeFailing", grpc["converter"]) not in prometheus.firing(), SECONDS, "their end")


def test_the_shipped_files_ask_the_documented_ports():
    settings = (ConverterSettings, MediaSettings, LlmProxySettings)
    known = {str(GatewaySettings.model_fields[f"{name}_port"].default) for name in DOCUMENTED_PORTS}
    for one in settings:
        known |= {one.model_fields[field].default.rpartition(":")[2] for field in ("address", "metrics_address")}
    for name in ("prometheus.yml", "gatus.yaml"):
        text = (FOLDER / name).read_text()
        assert yaml.safe_load(text)
        assert set(re.findall(r"localhost:(\d+)", text)) - {"9115"} <= known
        assert {str(port) for port in DOCUMENTED_PORTS.values()} <= set(re.findall(r"localhost:(\d+)", text))


def test_every_module_that_prometheus_names_is_one_of_the_exporters():
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    named = {target["labels"]["__param_module"] for target in jobs[1]["static_configs"]}
    assert named == set(yaml.safe_load((FOLDER / "blackbox.yml").read_text())["modules"])


def test_promtool_finds_nothing_wrong_with_what_is_shipped():
    for kind, name in (("config", "prometheus.yml"), ("rules", "alerts.yaml")):
        done = subprocess.run([program("promtool"), "check", kind, FOLDER / name], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
