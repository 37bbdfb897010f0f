"""What every façade says when a backend is lost, frozen or back, within the promised time.

The gateway is never restarted here.
"""

import pytest

from tests.e2e.system import BACKENDS, MODULES, START_SECONDS, wait_for

KILL_SECONDS = 1.0
FREEZE_SECONDS = 3.0
COMPONENT_SECONDS = 2.0
RECOVERY_SECONDS = 2.0

PROBES = {
    "converter": ("/api/status", (200, {"connected": True}), (200, {"connected": False})),
    "media": ("/api/health", (200, {"status": "ok"}), (503, {"status": "error", "error": "unavailable"})),
    "llmproxy": (
        "/status",
        (200, {"status": "running"}),
        (503, {"error": {"type": "service_error", "message": "Service temporarily unavailable"}}),
    ),
}


def says(system, name, expected):
    path, up, down = PROBES[name]
    wanted_status, wanted = up if expected == "up" else down
    status, body = system.get(name, path)
    return status == wanted_status and wanted.items() <= body.items()


@pytest.fixture(params=BACKENDS)
def name(request, system):
    yield request.param
    system.mend()


def test_a_killed_backend_is_seen_and_its_restart_too(system, name):
    others = [other for other in BACKENDS if other != name]
    assert says(system, name, "up")
    system.kill(name)
    wait_for(lambda: says(system, name, "down"), KILL_SECONDS, f"{name} to be missed")
    assert all(says(system, other, "up") for other in others)
    system.start_and_wait(name)
    wait_for(lambda: says(system, name, "up"), RECOVERY_SECONDS, f"{name} to be back")
    wait_for(system.all_serving, RECOVERY_SECONDS, "the operator to hear of it")


def test_a_frozen_backend_is_seen_and_its_thaw_too(system, name):
    assert says(system, name, "up")
    system.freeze(name)
    try:
        wait_for(lambda: says(system, name, "down"), FREEZE_SECONDS, f"{name} to be missed")
    finally:
        system.resume(name)
    wait_for(lambda: says(system, name, "up"), RECOVERY_SECONDS, f"{name} to be back")
    wait_for(system.all_serving, RECOVERY_SECONDS, "the operator to hear of it")


def test_a_backend_told_to_stop_says_so_first_and_leaves_without_an_error(system, name):
    system.processes[name].terminate()
    wait_for(lambda: says(system, name, "down"), KILL_SECONDS, f"{name} to be leaving")
    assert system.processes[name].wait(timeout=30) == 0
    system.start_and_wait(name)
    wait_for(system.all_serving, RECOVERY_SECONDS, f"{name} to be back")


def test_a_gateway_that_starts_alone_tells_the_truth_and_picks_the_backends_up_as_they_come(own_system):
    own_system.start("gateway")
    wait_for(lambda: own_system.states() is not None, START_SECONDS, "the gateway's first verdicts")
    assert set(own_system.states().values()) == {"unreachable"}
    assert all(says(own_system, name, "down") for name in BACKENDS)
    assert own_system.get("operator", "/healthz") == (200, {"status": "ok"})
    for name in BACKENDS:
        own_system.start_and_wait(name)
        wait_for(lambda: says(own_system, name, "up"), RECOVERY_SECONDS, f"{name} to be picked up")  # noqa: B023
    assert own_system.all_serving()
    assert {name: own_system.terminate(name) for name in reversed(MODULES)} == dict.fromkeys(MODULES, 0)


def test_a_taken_port_is_one_line_and_exit_code_4(system, own_system):
    own_system.environment = {**system.environment}
    for name in MODULES:
        own_system.start(name)
        assert own_system.processes[name].wait(timeout=START_SECONDS) == 4
        errors = [line for line in own_system.log(name).read_text().splitlines() if not line.startswith("{")]
        assert len(errors) == 1
        assert errors[0].startswith("Error: cannot bind ")
    assert system.all_serving()


def test_a_second_signal_ends_a_draining_process_at_once(own_system):
    own_system.start("gateway", PULSEGATE_GATEWAY_DRAIN_SECONDS="600")
    wait_for(lambda: own_system.states() is not None, START_SECONDS, "the gateway")
    gateway = own_system.processes["gateway"]
    gateway.terminate()
    wait_for(lambda: own_system.get("operator", "/readyz")[0] == 503, 5, "the gateway to drain")
    gateway.terminate()
    assert gateway.wait(timeout=5) != 0
