import resource

import pytest

from gateway.listeners import allow_sockets

NOW, MOST = resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.fixture
def few():
    """The limit is 1024, as most systems have it, and may be raised."""
    if MOST != resource.RLIM_INFINITY and MOST < 8192:
        pytest.skip("so many descriptors cannot be had here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, MOST))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (NOW, MOST))


def soft_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_descriptors_for_every_allowed_socket_are_asked_for_and_not_many_more(few):
    allow_sockets(4096)
    assert 4096 < soft_limit() < 5120


def test_what_is_enough_stays_as_it_is(few):
    allow_sockets(10)
    assert soft_limit() == 1024


def test_less_than_wanted_is_told(few, caplog):
    if MOST == resource.RLIM_INFINITY:
        pytest.skip("a limit cannot be had here")
    allow_sockets(MOST)
    assert soft_limit() == MOST
    assert caplog.records[-1].allowed == MOST
