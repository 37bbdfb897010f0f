"""Two media processes behind one façade: publishers and viewers of a stream meet, sessions are found again."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest
from aiortc import RTCSessionDescription

from gateway.app import create_app
from gateway.backend import Backend
from gateway.facades.media import FACADE
from gateway.facades.media.placement import candidates
from gateway.monitor import Monitor, Watched
from gateway.settings import GatewaySettings
from gen.media.v1 import media_pb2, media_pb2_grpc


class Web:
    """The façade over both, asked from a thread as any WSGI server would."""

    def __init__(self, backend):
        app = create_app("media", FACADE.create_blueprint(backend, GatewaySettings()), FACADE.error_response, 10**6)
        self._app = app

    async def send(self, method, path, body=None):
        def ask():
            with self._app.test_client() as client:
                answer = client.open(path, method=method, data=body, content_type="application/sdp", buffered=True)
                return SimpleNamespace(status=answer.status_code, text=answer.text, headers=answer.headers)

        return await asyncio.to_thread(ask)

    async def begin(self, path, peer):
        answer = await self.send("POST", path, await peer.offer())
        assert answer.status == 201
        await peer.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        return answer.headers["Location"]


@pytest.fixture
async def both(serving, until):
    async with serving(mode="relay") as first, serving(mode="relay") as second:
        servers = [first, second]
        target = ",".join(server.address for server in servers)
        monitor = Monitor(
            [
                Watched(
                    "media",
                    target,
                    (),
                    lambda channel: media_pb2_grpc.MediaServiceStub(channel).WatchStatus(
                        media_pb2.WatchStatusRequest()
                    ),
                )
            ]
        )
        monitor.start()
        backend = Backend("media", target, media_pb2_grpc.MediaServiceStub, monitor)
        await until(lambda: [one.serving() for one in backend.picture.replicas] == [True, True])
        yield SimpleNamespace(servers=servers, web=Web(backend), backend=backend)
        await backend.close()
        await monitor.close()


def named_for(both, server):
    """Name streams that have their place at a server."""
    names = (f"stream-{number}" for number in itertools.count())
    return (name for name in names if candidates(name, both.backend.picture.replicas)[0] == server.address)


async def test_publishers_and_viewers_of_one_stream_meet_at_the_replica_of_its_name(both, publisher, player, until):
    for server in both.servers:
        name, viewer = next(named_for(both, server)), player(None)
        await both.web.begin(f"/whep/{name}", viewer)
        await both.web.begin(f"/whip/{name}", publisher(None))
        await until(lambda viewer=viewer: len(viewer.frames["video"]) > 3)
        assert names(server) == [name]
    assert [server.sessions().total for server in both.servers] == [2, 2]


def names(server):
    return [one.name for one in server.parts.streams.relayed()]


async def test_a_stream_stays_where_it_lives_whatever_its_name_scores(both, player, until):
    here, elsewhere = both.servers
    name, early, late = next(named_for(both, elsewhere)), player(here), player(None)
    await early.play(name)
    await until(lambda: told(both.backend, name))
    await both.web.begin(f"/whep/{name}", late)
    assert [one.viewers for one in here.parts.streams.relayed()] == [2]
    assert names(elsewhere) == []


def told(backend, name):
    return any(one.name == name for replica in backend.picture.replicas for one in replica.status.relay.streams)


async def test_a_session_is_ended_at_the_replica_that_has_it(both, player, until):
    for server in both.servers:
        location = await both.web.begin(f"/whep/{next(named_for(both, server))}", player(None))
        assert (await both.web.send("DELETE", location)).status == 200
        assert (await both.web.send("DELETE", location)).status == 404
        assert (await both.web.send("DELETE", "/session/00000000.abc")).status == 404
    await until(lambda: not any(server.parts.peers.listed() for server in both.servers))
    assert [server.sessions().total for server in both.servers] == [1, 1]
