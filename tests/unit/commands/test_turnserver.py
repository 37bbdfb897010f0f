import socket
import stat

import pytest
from pydantic import SecretStr

from commands import turnserver
from services.media.settings import MediaSettings

OWN = ["10.1.2.3"]


def lines(folder, own=OWN, **settings):
    return turnserver.configuration(MediaSettings(**settings), folder, own).splitlines()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A machine on which there is a program of that name."""
    program = tmp_path / turnserver.PROGRAM
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_with_a_secret_credentials_are_minted_and_nobody_has_a_fixed_one(tmp_path):
    told = lines(tmp_path, turn_secret=SecretStr("s3cret"), turn_realm="example.org", turn_port=1234)
    assert {"use-auth-secret", "static-auth-secret=s3cret", "realm=example.org", "listening-port=1234"} <= set(told)
    assert not any(line.startswith(("user=", "lt-cred-mech")) for line in told)


def test_without_one_there_is_the_demo_pair(tmp_path):
    told = lines(tmp_path)
    assert {"lt-cred-mech", "user=icey:icey", "realm=0state.com"} <= set(told)
    assert not any("secret" in line for line in told)


def test_it_relays_to_the_media_process_and_into_no_private_network(tmp_path):
    told = lines(tmp_path, own=["10.1.2.3", "fe80::1"])
    assert [line for line in told if line.startswith("allowed")] == [
        "allowed-peer-ip=10.1.2.3",
        "allowed-peer-ip=fe80::1",
    ]
    assert {"denied-peer-ip=10.0.0.0-10.255.255.255", "denied-peer-ip=::1", "no-multicast-peers"} <= set(told)
    assert "allow-loopback-peers" not in told
    assert not any(line.startswith("denied") for line in lines(tmp_path, turn_local_relay=True))
    assert "allow-loopback-peers" in lines(tmp_path, own=["127.0.0.1"])


@pytest.mark.parametrize(
    ("host", "bound"), [("0.0.0.0", []), ("192.0.2.1", ["listening-ip=192.0.2.1", "relay-ip=192.0.2.1"])]
)
def test_it_binds_where_it_is_told_to(tmp_path, host, bound):
    told = lines(tmp_path, host=host, turn_external_ip="203.0.113.50")
    assert [line for line in told if line.startswith(("listening-ip", "relay-ip"))] == bound
    assert "external-ip=203.0.113.50" in told


def test_the_secret_is_in_a_file_that_only_this_user_reads_and_not_on_the_command_line(tmp_path):
    command = turnserver.command(MediaSettings(turn_secret=SecretStr("s3cret")), tmp_path, OWN)
    path = tmp_path / "turnserver.conf"
    assert command == ["turnserver", "-c", str(path)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "s3cret" in path.read_text()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("settings", "starts", "why"),
    [
        ({}, True, "demo credentials"),
        ({"host": "::1"}, True, "demo credentials"),
        ({"turn_secret": SecretStr("x")}, True, "time-limited credentials"),
        ({"turn_secret": SecretStr("x"), "host": "0.0.0.0"}, True, "time-limited credentials"),
        ({"turn": "false"}, False, "switched off"),
        ({"host": "0.0.0.0"}, False, "set ICEY_TURN_SECRET"),
        ({"host": "media.example"}, False, "set ICEY_TURN_SECRET"),
    ],
)
def test_it_is_started_where_it_is_wanted_and_safe(unused_tcp_port, settings, starts, why):
    plan = turnserver.plan(MediaSettings(turn_port=unused_tcp_port, **settings))
    assert plan.starts == starts
    assert why in plan.reason


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_it_is_not_started_where_something_else_is(kind):
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        assert turnserver.plan(MediaSettings(turn_port=port)) == turnserver.Plan(
            False, f"not started: something else is at 127.0.0.1:{port}"
        )


def test_it_is_not_started_where_it_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert turnserver.plan(MediaSettings()).reason.startswith("not started: it is not installed")


def test_what_the_configuration_file_says_counts_and_a_wrong_one_starts_nothing(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"turn": {"port": 4000, "realm": "r", "secret": "s"}}')
    laid = turnserver.settings_of_media(MediaSettings(icey_config=str(file)))
    assert (laid.turn_port, laid.turn_realm, laid.turn_secret.get_secret_value()) == (4000, "r", "s")
    file.write_text("{")
    assert turnserver.settings_of_media(MediaSettings(icey_config=str(file))) is None
    assert turnserver.settings_of_media(MediaSettings(icey_config=str(tmp_path / "none"))) is None


def test_the_addresses_of_the_media_process_are_the_configured_ones_or_those_of_this_machine():
    assert turnserver.own_addresses(MediaSettings(candidate_addresses=("192.0.2.1",))) == ["192.0.2.1"]
    assert turnserver.own_addresses(MediaSettings())
