"""The real coturn, configured as `pulsegate run` configures it."""

import asyncio
import os
import re
import shutil
import time
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection
from pydantic import SecretStr

from commands import turnserver
from gen.media.v1 import media_pb2
from services.media import turn
from services.media.settings import MediaSettings

LOOPBACK = ["127.0.0.1"]


@pytest.fixture
async def coturn(tmp_path, until):
    """Start coturn for settings; yields a context manager."""
    if shutil.which(turnserver.PROGRAM) is None and not os.environ.get("CI"):
        pytest.skip("coturn is not installed")

    @asynccontextmanager
    async def running(**settings):
        folder = tmp_path / str(settings["turn_port"])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command = turnserver.command(MediaSettings(**settings), folder, LOOPBACK)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        try:
            await answers(settings["turn_port"])
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    return running


async def answers(port):
    async with asyncio.timeout(10):
        while True:
            try:
                return await turn.ask("127.0.0.1", port)
            except turn.TurnSilent:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(("wanted", "named"), [("auto", False), ("true", True), ("false", False)])
async def test_no_turn_server_is_missed_only_where_one_was_asked_for(serving, unused_udp_port, wanted, named):
    async with serving(turn=wanted, turn_port=unused_udp_port) as server:
        health = {one.name: one.serving for one in (await server.status()).health}
        assert ("media.turn" in health) == named
        assert not health.get("media.turn", False)
        assert health[""]


async def test_a_turn_server_that_appears_is_adopted_and_missed_once_it_is_gone(
    serving, coturn, unused_tcp_port, until
):
    async with serving(turn="auto", turn_port=unused_tcp_port, turn_look_seconds=0.01) as server:
        assert not (await server.status()).turn.enabled
        async with coturn(turn_port=unused_tcp_port):
            await until(lambda: server.parts.health.serving("media.turn"))
            assert (await server.status()).turn.enabled
        server.parts.health.probe_now("media.turn")
        await until(lambda: not server.parts.health.serving("media.turn"))
        assert server.parts.health.serving()


async def test_one_that_answers_but_would_refuse_every_viewer_is_told_and_not_offered(
    serving, coturn, unused_tcp_port, until
):
    port = unused_tcp_port
    async with (
        coturn(turn_port=port, turn_secret=SecretStr("its-secret")),
        serving(turn_port=port, turn_secret=SecretStr("our-secret"), turn="true") as one,
    ):
        status = await one.status()
        (health,) = [found for found in status.health if found.name == "media.turn"]
        assert not health.serving
        assert health.last_error == f"the TURN server at 127.0.0.1:{port} refuses our credentials: error 401"
        checks = {found.name: found for found in status.preflight.checks}
        assert checks["turn_reachable"].result == media_pb2.Check.RESULT_WARN
        assert "refuses our credentials" in checks["turn_reachable"].detail


@pytest.mark.parametrize("secret", ["", "s3cret"])
async def test_credentials_of_the_config_open_an_allocation_and_expired_or_foreign_ones_do_not(
    coturn, unused_tcp_port, secret
):
    settings = {"turn_port": unused_tcp_port, "turn_secret": SecretStr(secret)}
    async with coturn(**settings):
        ours = turn.credentials_of(MediaSettings(**settings))
        await turn.allocate("127.0.0.1", unused_tcp_port, ours)
        expired = turn.mint(secret or "any", "", 60, time.time() - 3600)
        foreign = turn.mint("foreign", "", 60, time.time())
        for wrong in (expired, foreign, turn.Credentials(ours.username, "wrong", 0)):
            with pytest.raises(turn.TurnRefuses, match="401"):
                await turn.allocate("127.0.0.1", unused_tcp_port, wrong)


async def test_it_is_asked_to_relay_now_and_then_and_at_once_after_it_was_away(coturn, unused_tcp_port):
    now, minted = [0.0], []

    def mint_now():
        minted.append(now[0])
        return turn.Credentials("icey", "icey", 0)

    watch = turn.Watch("127.0.0.1", unused_tcp_port, mint_now, lambda: now[0])
    async with coturn(turn_port=unused_tcp_port):
        for moment in (0.0, 1.0, 14.0, 15.0, 16.0):
            now[0] = moment
            await watch.check()
        assert minted == [0.0, 15.0]
    with pytest.raises(turn.TurnSilent):
        await watch.check()
    async with coturn(turn_port=unused_tcp_port):
        now[0] = 17.0
        await watch.check()
    assert minted == [0.0, 15.0, 17.0]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("secret", ["", "s3cret"])
async def test_a_player_behind_a_firewall_sees_the_picture_through_the_relay_alone(
    serving, coturn, player, until, unused_tcp_port, secret, transport
):
    settings = {"turn_port": unused_tcp_port, "turn_secret": SecretStr(secret)}
    async with coturn(**settings), serving(turn="true", **settings) as server:
        config = await server.stub.GetConfig(media_pb2.GetConfigRequest(), timeout=5)
        assert config.turn.enabled
        relay = RTCIceServer(
            f"turn:127.0.0.1:{config.turn.port}?transport={transport}", config.turn_username, config.turn_credential
        )
        connection = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[relay],
                iceTransportPolicy=RTCIceTransportPolicy.RELAY,
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        viewer = player(server, connection=connection)
        await viewer.play()
        await until(lambda: len(viewer.frames["video"]) >= 30 and len(viewer.frames["audio"]) >= 30)
        offered = set(re.findall(r"a=candidate:.* typ (\w+)", viewer.connection.localDescription.sdp))
        assert offered == {"relay"}
