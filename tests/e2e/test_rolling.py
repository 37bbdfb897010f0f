"""Every replica of every backend replaced, one after another, while clients go on asking."""

import threading
import time

import httpx
import pytest

from tests.e2e.system import BACKENDS, START_SECONDS, free_ports, wait_for

ASKED = {
    "converter": [
        ("GET", "/api/status", None),
        ("POST", "/api/convert", {"categoria": "peso", "valor": 1, "desde": "kg", "hasta": "lb"}),
    ],
    "media": [("GET", "/api/health", None), ("GET", "/api/ready", None)],
    "llmproxy": [("GET", "/status", None), ("GET", "/v1/models", None)],
}


class Clients:
    """Ask every façade fifty times a second each, in a thread per question, and keep what was wrong."""

    def __init__(self, system):
        self.answers = 0
        self.wrong = []
        self._system = system
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(name, *question)) for name in BACKENDS for question in ASKED[name]
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def ask_on(self):
        """Let some more questions be asked and answered."""
        enough = self.answers + 100
        wait_for(lambda: self.answers > enough, START_SECONDS, "more answers")

    def _ask(self, name, method, path, body):
        with httpx.Client(timeout=10) as client:
            while not self._over.wait(0.02):
                asked_at = time.monotonic()
                answer = client.request(method, self._system.url(name, path), json=body)
                self.answers += 1
                if answer.status_code != 200 or answer.json().get("connected") is False:
                    self.wrong.append((name, path, round(asked_at, 2), answer.status_code, answer.text[:200]))


@pytest.fixture
def replicated(own_system):
    """Two replicas of every backend behind one gateway."""
    for name in BACKENDS:
        own_system.add_replica(name, *free_ports(2))
    own_system.start("gateway", *BACKENDS, *own_system.replicas)
    wait_for(lambda: serving_replicas(own_system) == 6, START_SECONDS, "six replicas to serve")
    return own_system


def serving_replicas(system):
    try:
        _, body = system.get("operator", "/api/services")
    except OSError:
        return 0
    health = [one for backend in body["backends"] for replica in backend["replicas"] for one in replica["health"]]
    return sum(one["name"] == "" and one["status"] == "SERVING" for one in health)


def test_no_client_notices_that_every_replica_is_replaced(replicated):
    with Clients(replicated) as clients:
        for name in [*BACKENDS, *replicated.replicas]:
            assert replicated.terminate(name) == 0
            replicated.start_and_wait(name)
            wait_for(lambda: serving_replicas(replicated) == 6, START_SECONDS, f"{name} to be back")
            clients.ask_on()  # as a rollout does, which waits a little between pods
    assert clients.answers > 100
    assert clients.wrong == []
