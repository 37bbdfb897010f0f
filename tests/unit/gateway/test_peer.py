from ipaddress import ip_network

import pytest

from gateway.peer import is_loopback, peer

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32")]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "128.0.0.1", "::2", "localhost", "", "127.0.0.1.evil"])
def test_nothing_else_is(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "expected"),
    [
        ("8.8.8.8", "127.0.0.1", "8.8.8.8"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", "127.0.0.1, 8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", "8.8.8.8, 10.0.0.2", "8.8.8.8"),
        ("10.0.0.1", "rubbish, 10.0.0.2", "rubbish"),
        ("::ffff:10.0.0.1", "8.8.8.8", "8.8.8.8"),
        ("", "127.0.0.1", ""),
    ],
)
def test_forwarding_headers_count_only_as_far_as_trusted_proxies_wrote_them(remote, forwarded_for, expected):
    assert peer(remote, forwarded_for, TRUSTED) == expected


def test_without_trusted_proxies_the_socket_alone_tells():
    assert peer("8.8.8.8", "127.0.0.1", []) == "8.8.8.8"
