"""The four real processes on ports of their own, and what may happen to them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "converter": "services.converter",
    "media": "services.media",
    "llmproxy": "services.llmproxy",
    "gateway": "gateway",
}
BACKENDS = ("converter", "media", "llmproxy")
DOCUMENTED_PORTS = {"converter": 5000, "media": 4500, "llmproxy": 3456, "operator": 8080}
OF_THE_ORIGINALS = ("HOST", "PORT", "DEBUG", "ICEY_", "CCPROXY_", "APIKEY", "PULSEGATE_", "ANTHROPIC_", "OPENAI_")
START_SECONDS = 60.0  # a cold start of Python on a busy machine; nothing here is measured by it


class System:
    """The four processes of ``make run``, each started, stopped, killed or frozen as a test likes."""

    def __init__(self, folder):
        names = ["ice", *BACKENDS, *(f"{name} rest" for name in DOCUMENTED_PORTS)]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.folder = folder
        self.processes = {}
        self.starts = Counter()
        variables = {
            "PULSEGATE_CONVERTER_ICE_ADDRESS": f"127.0.0.1:{self.ports['ice']}",
            "PULSEGATE_MEDIA_RECORD_DIR": str(folder / "recordings"),
            "PULSEGATE_LLMPROXY_USAGE_DIR": str(folder / "usage"),
        }
        for name in BACKENDS:
            variables[f"PULSEGATE_{name.upper()}_ADDRESS"] = f"127.0.0.1:{self.ports[name]}"
            variables[f"PULSEGATE_{name.upper()}_METRICS_ADDRESS"] = "127.0.0.1:0"
            variables[f"PULSEGATE_GATEWAY_{name.upper()}_TARGET"] = f"127.0.0.1:{self.ports[name]}"
        for name in DOCUMENTED_PORTS:
            variables[f"PULSEGATE_GATEWAY_{name.upper()}_PORT"] = str(self.ports[f"{name} rest"])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_ORIGINALS)}
        self.environment = {**inherited, **variables, "PYTHONPATH": str(ROOT)}
        self.replicas = {}

    def add_replica(self, name, port, ice_port):
        """Put a second replica of a backend, known as ``<name> again``, behind the gateway's target."""
        address = f"127.0.0.1:{port}"
        self.replicas[f"{name} again"] = {
            f"PULSEGATE_{name.upper()}_ADDRESS": address,
            "PULSEGATE_CONVERTER_ICE_ADDRESS": f"127.0.0.1:{ice_port}",
        }
        self.environment[f"PULSEGATE_GATEWAY_{name.upper()}_TARGET"] += f",{address}"

    def start(self, *names, **variables):
        for name in names:
            self.starts[name] += 1
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", MODULES[name.removesuffix(" again")]],
                    cwd=self.folder,
                    env={**self.environment, **self.replicas.get(name, {}), **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def log(self, name):
        return self.folder / f"{name}.log"

    def started(self, name):
        """Whether the process has said, since its latest start, that it listens."""
        return self.log(name).read_text().count('"message":"listening"') == self.starts[name]

    def start_and_wait(self, name):
        self.start(name)
        wait_for(lambda: self.started(name), START_SECONDS, f"{name} to listen")

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def freeze(self, name):
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def terminate(self, name):
        self.processes[name].terminate()
        return self.processes[name].wait(timeout=30)

    def mend(self):
        """Bring back whatever a failed test left lost or frozen."""
        for name, process in list(self.processes.items()):
            process.send_signal(signal.SIGCONT)
            if process.poll() is not None:
                self.start_and_wait(name)
        wait_for(self.all_serving, START_SECONDS, "everything to serve")

    def url(self, facade, path=""):
        return f"http://127.0.0.1:{self.ports[f'{facade} rest']}{path}"

    def get(self, facade, path, **headers):
        return request(self.url(facade, path), headers=headers)

    def post(self, facade, path, document):
        return request(
            self.url(facade, path), json.dumps(document).encode(), headers={"Content-Type": "application/json"}
        )

    def states(self):
        try:
            status, body = self.get("operator", "/readyz")
        except OSError:
            return None
        return body["backends"] if status == 200 else None

    def all_serving(self):
        return set((self.states() or {"": ""}).values()) == {"serving"}

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def request(url, body=None, headers=None):
    """Return status and JSON body, whatever the status is."""
    asked = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def wait_for(condition, seconds, what):
    """Wait until a condition holds; fail with what was waited for after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


@contextmanager
def running_system(folder):
    system = System(folder)
    with ExitStack() as stack:
        stack.callback(system.stop)
        yield system


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
