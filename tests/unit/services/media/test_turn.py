import asyncio
import base64
import hashlib
import hmac

import pytest

from services.media import turn


def test_without_a_secret_the_demo_pair_is_named_and_never_expires():
    assert turn.mint("", "", 3600, 1000.0) == turn.Credentials("icey", "icey", 0)


@pytest.mark.parametrize(
    ("suffix", "ttl", "username", "granted"),
    [
        ("", 3600, "4600", 3600),
        ("me", 60, "1060:me", 60),
        ("", 0, "4600", 3600),
        ("", -5, "4600", 3600),
        ("", 10**6, "87400", 86400),
    ],
)
def test_minted_credentials_follow_the_documented_scheme(suffix, ttl, username, granted):
    made = turn.mint("s3cret", suffix, ttl, 1000.9)
    expected = base64.b64encode(hmac.new(b"s3cret", username.encode(), hashlib.sha1).digest()).decode()
    assert made == turn.Credentials(username, expected, granted)


class Stun(asyncio.DatagramProtocol):
    """Answers binding requests from the second on, or with another transaction."""

    def __init__(self, *, skip=0, wrong=False):
        self.skip = skip
        self.wrong = wrong

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.skip -= 1
        if self.skip < 0:
            identity = data[4:20] if not self.wrong else bytes(16)
            self.transport.sendto(b"\x01\x01\x00\x00" + identity, address)


@pytest.fixture
async def stun_server():
    transports = []

    async def start(**how):
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Stun(**how), local_addr=("127.0.0.1", 0))
        transports.append(transport)
        return transport.get_extra_info("sockname")[1]

    yield start
    for transport in transports:
        transport.close()


async def test_a_server_that_answers_is_found_also_behind_a_wildcard(stun_server):
    await turn.ask("0.0.0.0", await stun_server())


async def test_one_lost_request_does_not_count(stun_server):
    await turn.ask("127.0.0.1", await stun_server(skip=1), patience_seconds=0.05)


async def test_an_answer_to_somebody_else_does_not_count(stun_server):
    with pytest.raises(turn.TurnSilent, match="no TURN server answers"):
        await turn.ask("127.0.0.1", await stun_server(wrong=True), patience_seconds=0.05)


async def test_a_port_without_a_server_is_said_so(unused_udp_port):
    with pytest.raises(turn.TurnSilent, match=str(unused_udp_port)):
        await turn.ask("127.0.0.1", unused_udp_port, patience_seconds=0.05)
