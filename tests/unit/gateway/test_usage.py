import ipaddress

import pytest

from gateway.limits import Limits
from gateway.usage import MOST_REMEMBERED_CLIENTS, Usage

PROXY = ipaddress.ip_network("10.0.0.0/8")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def scope(host="192.0.2.1", forwarded_for=None):
    headers = [(b"x-forwarded-for", forwarded_for.encode())] if forwarded_for else []
    return {"client": (host, 1), "headers": headers}


def refused(usage, *hosts):
    return [error.code if (error := usage.refusal(scope(host))) else None for host in hosts]


def test_without_a_rate_every_request_is_answered():
    assert refused(Usage(), *["192.0.2.1"] * 500) == [None] * 500


def test_each_client_has_a_minutes_requests_at_once_and_gets_them_back_one_by_one(clock):
    usage = Usage(Limits(requests_per_minute=3), clock=clock)
    assert refused(usage, *["192.0.2.1"] * 4, "192.0.2.2") == [None, None, None, 429, None]
    clock.now += 20
    assert refused(usage, *["192.0.2.1"] * 2) == [None, 429]
    assert usage.refusals["rate"] == 2


def test_a_refused_client_is_told_when_the_next_request_will_be_answered(clock):
    usage = Usage(Limits(requests_per_minute=3), clock=clock)
    refused(usage, *["192.0.2.1"] * 3)
    seconds = int(dict(usage.refusal(scope()).get_headers())["Retry-After"])
    assert 20 <= seconds <= 21
    clock.now += seconds
    assert usage.refusal(scope()) is None


def test_addresses_of_one_ipv6_network_are_one_client():
    usage = Usage(Limits(requests_per_minute=1))
    assert refused(usage, "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1%eth0") == [None, 429, None, None]


def test_an_ipv4_address_is_the_same_client_when_mapped_into_ipv6():
    assert refused(Usage(Limits(requests_per_minute=1)), "192.0.2.1", "::ffff:192.0.2.1") == [None, 429]


def test_a_trusted_proxys_word_tells_the_client_and_nobody_elses():
    usage = Usage(Limits(requests_per_minute=1), [PROXY])
    assert usage.refusal(scope("10.0.0.1", "192.0.2.1")) is None
    assert usage.refusal(scope("10.0.0.1", "192.0.2.2")) is None
    assert usage.refusal(scope("10.0.0.1", "192.0.2.99, 192.0.2.2")).code == 429
    assert usage.refusal(scope("192.0.2.3", "192.0.2.4")) is None
    assert usage.refusal(scope("192.0.2.3", "192.0.2.5")).code == 429


def test_the_memory_of_clients_is_bounded():
    usage = Usage(Limits(requests_per_minute=1))
    for number in range(MOST_REMEMBERED_CLIENTS + 10):
        usage.refusal(scope(str(ipaddress.ip_address(number))))
    assert len(usage._allowances) == MOST_REMEMBERED_CLIENTS


def test_answers_under_way_are_limited_together():
    usage = Usage(Limits(answers=1))
    with usage:
        error = usage.refusal(scope())
        assert (error.code, dict(error.get_headers())["Retry-After"]) == (503, "1")
    assert usage.refusal(scope()) is None


def test_sockets_of_one_client_and_of_all_are_counted_until_they_close():
    usage = Usage(Limits(sockets=3, sockets_per_client=2))
    assert [usage.open("192.0.2.1") for _ in range(3)] == [-1, 0, 1]
    assert usage.too_many_sockets().code == 429
    assert usage.open("192.0.2.2") == 1
    assert usage.too_many_sockets().code == 503
    for host in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"):
        usage.close(host)
    assert (usage.sockets, usage._sockets_of) == (0, {})


def test_a_trusted_proxy_may_hold_more_sockets_than_a_client():
    usage = Usage(Limits(sockets_per_client=1), [PROXY])
    assert max(usage.open("10.0.0.1") for _ in range(9)) < 0
