import asyncio

import pytest


class Stun(asyncio.DatagramProtocol):
    """Answers every binding request."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(b"\x01\x01\x00\x00" + data[4:20], address)


async def listen(port):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Stun, local_addr=("127.0.0.1", port))
    return transport


@pytest.mark.parametrize(("turn", "named"), [("auto", False), ("true", True), ("false", False)])
async def test_no_turn_server_is_missed_only_where_one_was_asked_for(serving, unused_udp_port, turn, named):
    async with serving(turn=turn, turn_port=unused_udp_port) as server:
        health = {one.name: one.serving for one in (await server.status()).health}
        assert ("media.turn" in health) == named
        assert not health.get("media.turn", False)
        assert health[""]


async def test_a_turn_server_that_appears_is_adopted_and_missed_once_it_is_gone(serving, unused_udp_port, until):
    async with serving(turn="auto", turn_port=unused_udp_port, turn_look_seconds=0.01) as server:
        assert not (await server.status()).turn.enabled
        transport = await listen(unused_udp_port)
        await until(lambda: server.parts.health.serving("media.turn"))
        assert (await server.status()).turn.enabled
        transport.close()
        server.parts.health.probe_now("media.turn")
        await until(lambda: not server.parts.health.serving("media.turn"))
        assert server.parts.health.serving()
