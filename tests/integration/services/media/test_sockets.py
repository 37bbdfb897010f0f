"""The gateway's side of signalling: who may open a socket, how much may pass, what is said at the end."""

import asyncio
import json
import ssl
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import websockets
from flask import Flask
from prometheus_client import CollectorRegistry

from gateway.backend import Backend
from gateway.bridge import Bridge
from gateway.facades.media import FACADE
from gateway.facades.media.signalling import Signalling
from gateway.front import Front, Site
from gateway.listeners import Listeners, bind
from gateway.metrics import Metrics
from gateway.monitor import Monitor, Watched
from gateway.settings import GatewaySettings
from gateway.snapshots import Snapshots
from gateway.usage import Usage
from tests.integration.authority import Authority

AUTH = json.dumps({"type": "auth", "user": "viewer"})
SHUTDOWN = {"type": "event", "name": "shutdown", "subtype": "shutdown", "message": "Server shutting down"}


def error(status, text):
    return {"type": "error", "status": status, "message": text}


class Gateway:
    """The media site of a gateway, and another one without sockets."""

    def __init__(self, port, other_port, signalling, usage):
        self.port, self.other_port, self.signalling, self.usage = port, other_port, signalling, usage

    def connect(self, path="/", *, port=None, **how):
        url = f"ws://127.0.0.1:{port or self.port}{path}"
        return websockets.connect(url, compression=None, proxy=None, **how)

    async def refused(self, path="/", *, port=None, **how):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with self.connect(path, port=port, **how):
                pass
        return refused.value.response.status_code, refused.value.response.body


@asynccontextmanager
async def _gateway(target, most=1024, patience_seconds=0.1, context=None, **settings):
    settings = GatewaySettings(media_host="gateway.example", **settings)
    async with AsyncExitStack() as stack:
        monitor = Monitor([Watched("media", target, FACADE.components, FACADE.watch_status)])
        monitor.start()
        stack.push_async_callback(monitor.close)
        backend = Backend("media", target, FACADE.stub, monitor)
        stack.push_async_callback(backend.close)
        signalling = Signalling(backend, settings, most, patience_seconds)
        bound, other = bind("media", "127.0.0.1", 0), bind("other", "127.0.0.1", 0)
        ports = [one.getsockname()[1] for one in (bound, other)]
        site = Site("media", Bridge(Flask("media"), 1000), sockets=signalling)
        sites = {ports[0]: site, ports[1]: Site("other", Bridge(Flask("other"), 1000))}
        snapshots, usage = Snapshots(lambda: monitor.version), Usage()
        front = Front(sites, ports[1], snapshots, Metrics(CollectorRegistry()), usage)
        contexts = {ports[0]: context} if context else None
        listeners = Listeners(front, snapshots, usage, 5, contexts)
        serving = asyncio.create_task(listeners.serve(sockets=[bound, other]))

        async def stop():
            signalling.end()
            listeners.should_exit = True
            await serving

        stack.push_async_callback(stop)
        async with asyncio.timeout(10):
            async for _ in monitor.changes():
                if monitor.judged():
                    break
        yield Gateway(*ports, signalling, usage)


@pytest.fixture
async def open_gateway(serving):
    async with serving() as server, _gateway(server.address) as gateway:
        yield gateway


async def heard(socket):
    """What is heard until the socket is closed, and the code."""
    frames = []
    async with asyncio.timeout(10):
        try:
            while True:
                frames.append(json.loads(await socket.recv()))
        except websockets.ConnectionClosed as closed:
            return frames, closed.rcvd.code


@pytest.mark.parametrize("path", ["/", "/ws", "/x?y=z", "/apix", "/artifact"])
async def test_a_socket_opens_at_every_path_that_is_nothing_else_s(open_gateway, path):
    async with open_gateway.connect(path) as socket:
        await socket.send(AUTH)
        assert json.loads(await socket.recv())["type"] == "welcome"


@pytest.mark.parametrize("path", ["/api", "/api/health", "/api/x", "/artifacts/x", "/whep", "/whep/x", "/session/x"])
async def test_a_path_with_a_meaning_of_its_own_opens_none(open_gateway, path):
    assert await open_gateway.refused(path) == (404, b"")


async def test_a_site_without_sockets_opens_none(open_gateway):
    assert await open_gateway.refused(port=open_gateway.other_port) == (403, b"")


async def test_a_prefix_on_the_operator_port_leads_to_the_same_sockets(open_gateway):
    async with open_gateway.connect("/media/", port=open_gateway.other_port) as socket:
        await socket.send(AUTH)
        assert json.loads(await socket.recv())["type"] == "welcome"
    assert (await open_gateway.refused("/media/api/x", port=open_gateway.other_port))[0] == 404


async def test_a_page_of_elsewhere_is_refused_and_one_that_is_listed_is_not(serving):
    async with serving() as server, _gateway(server.address, media_allowed_origins="https://pages.example/") as gateway:
        assert await gateway.refused(origin="http://evil.example") == (403, b"")
        assert await gateway.refused(origin="null") == (403, b"")
        for origin in (
            f"http://127.0.0.1:{gateway.port}",
            f"http://localhost:{gateway.port}",
            f"http://gateway.example:{gateway.port}",
            "https://pages.example",
        ):
            async with gateway.connect(origin=origin):
                pass


async def test_a_proxy_we_trust_may_say_that_it_speaks_https(serving):
    headers = {"X-Forwarded-Proto": "https"}
    async with serving() as server:
        for trusted, refused in (("127.0.0.0/8", False), ("10.0.0.0/8", True)):
            async with _gateway(server.address, trusted_proxies=trusted) as gateway:
                how = {"origin": f"https://127.0.0.1:{gateway.port}", "additional_headers": headers}
                if refused:
                    assert (await gateway.refused(**how))[0] == 403
                else:
                    async with gateway.connect(**how):
                        pass


async def test_a_port_with_a_certificate_takes_encrypted_sockets_and_its_own_pages(serving, tmp_path):
    files = Authority().files(tmp_path, "127.0.0.1")
    trusting = ssl.create_default_context(cafile=str(files.authority))
    async with serving() as server, _gateway(server.address, context=files.http_context()) as gateway:
        origin = f"https://127.0.0.1:{gateway.port}"
        how = {"ssl": trusting, "origin": origin, "compression": None, "proxy": None}
        async with websockets.connect(f"wss://127.0.0.1:{gateway.port}/ws", **how) as socket:
            await socket.send(AUTH)
            assert json.loads(await socket.recv())["type"] == "welcome"
            await socket.send("x" * 300_000)
            frames, code = await heard(socket)
            assert (frames[-1], code) == (error(413, "Message too large"), 1009)
        with pytest.raises(websockets.InvalidStatus):
            async with websockets.connect(
                f"wss://127.0.0.1:{gateway.port}", **{**how, "origin": origin.replace("https", "http")}
            ):
                pass


async def test_the_token_is_asked_for_in_the_auth_message_only(serving):
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving())
        gateway = await stack.enter_async_context(_gateway(server.address, media_token="right"))
        socket = await stack.enter_async_context(gateway.connect())
        await socket.send(AUTH)
        assert json.loads(await socket.recv()) == error(401, "Authentication failed")
        await socket.send(json.dumps({"type": "auth", "user": "viewer", "token": "right"}))
        assert json.loads(await socket.recv())["type"] == "welcome"


async def test_one_socket_too_many_is_told_so_and_closed_and_a_place_that_is_free_again_is_taken(serving, until):
    async with serving() as server, _gateway(server.address, most=2) as gateway:
        first, second, third = [await gateway.connect() for _ in range(3)]
        assert await heard(third) == ([error(503, "Server at capacity")], 1013)
        await second.close()
        await until(lambda: len(gateway.signalling._carrying) == 1)
        fourth = await gateway.connect()
        await fourth.send(AUTH)
        assert json.loads(await fourth.recv())["type"] == "welcome"
        await first.close()
        await fourth.close()


@pytest.mark.parametrize("size", [65_537, 5_000_000])
async def test_a_message_that_is_too_large_is_told_so_however_large_it_is(open_gateway, size):
    async with open_gateway.connect() as socket:
        sending = asyncio.create_task(socket.send("x" * size))
        assert await heard(socket) == ([error(413, "Message too large")], 1009)
        await asyncio.gather(sending, return_exceptions=True)


async def test_fragments_count_together_and_the_largest_message_is_taken(open_gateway):
    async with open_gateway.connect() as socket:
        await socket.send([AUTH[:10], AUTH[10:20], AUTH[20:]])
        assert json.loads(await socket.recv())["type"] == "welcome"
        message = json.dumps({"type": "join", "room": "r", "x": ""})
        await socket.send(message.replace('"x": ""', f'"x": "{"y" * (65_536 - len(message))}"'))
        while (answer := json.loads(await socket.recv()))["type"] == "presence":
            pass
        assert answer == {"type": "join:ok", "room": "r"}
        await socket.send(["x" * 40_000, "x" * 40_000])
        assert await heard(socket) == ([error(413, "Message too large")], 1009)


async def test_a_binary_message_means_nothing(open_gateway):
    async with open_gateway.connect() as socket:
        await socket.send(AUTH.encode())
        await socket.send(AUTH)
        assert json.loads(await socket.recv())["type"] == "welcome"


async def test_a_ping_is_answered_and_our_own_keep_coming(open_gateway):
    async with open_gateway.connect() as socket:
        async with asyncio.timeout(5):
            await (await socket.ping())


async def test_every_client_is_told_when_the_gateway_ends(serving):
    async with serving() as server:
        async with _gateway(server.address) as gateway:
            socket = await gateway.connect()
            await socket.send(AUTH)
            assert json.loads(await socket.recv())["type"] == "welcome"
        frames, code = await heard(socket)
        assert (frames[-1], code) == (SHUTDOWN, 1001)


async def test_every_client_is_told_when_the_media_process_ends(serving):
    async with serving() as server, _gateway(server.address) as gateway, gateway.connect() as socket:
        await socket.send(AUTH)
        assert json.loads(await socket.recv())["type"] == "welcome"
        server.parts.signalling.close()
        frames, code = await heard(socket)
        assert (frames[-1], code) == (SHUTDOWN, 1001)
        async with gateway.connect() as late:
            assert await heard(late) == ([], 1001)


async def test_a_client_whose_channel_is_closed_under_it_is_told_so(serving):
    async with serving() as server, _gateway(server.address) as gateway, gateway.connect() as socket:
        await socket.send(AUTH)
        assert json.loads(await socket.recv())["type"] == "welcome"
        for channel in gateway.signalling._backend._direct.values():
            await channel.close()
        frames, code = await heard(socket)
        assert (frames[-1], code) == (error(503, "Service unavailable"), 1013)


async def test_without_a_backend_a_client_is_told_so_and_closed(unused_tcp_port):
    async with _gateway(f"127.0.0.1:{unused_tcp_port}") as gateway, gateway.connect() as socket:
        assert await heard(socket) == ([error(503, "Service unavailable")], 1013)


async def test_a_client_that_comes_while_the_backend_is_away_waits_for_it(serving, unused_tcp_port):
    async with _gateway(f"127.0.0.1:{unused_tcp_port}", patience_seconds=30) as gateway, gateway.connect() as socket:
        await socket.send(AUTH)
        async with serving(port=unused_tcp_port):
            assert json.loads(await socket.recv())["type"] == "welcome"


async def test_nothing_is_left_of_sockets_however_they_ended(serving, until):
    async with serving() as server, _gateway(server.address) as gateway:
        for number in range(12):
            socket = await gateway.connect()
            if number % 3:
                await socket.send(AUTH)
            if number % 2:
                await socket.close()
            else:
                socket.transport.abort()
        await until(lambda: not gateway.signalling._carrying)
        await until(lambda: gateway.usage.sockets == 0)
        await until(lambda: len(server.parts.signalling._exchange._clients) == 0)
        assert server.parts.signalling._exchange._rooms._rooms.keys() == {"icey", "public"}


async def test_bytes_that_are_no_frame_end_only_their_own_socket(open_gateway):
    async with open_gateway.connect() as good, open_gateway.connect() as bad:
        await good.send(AUTH)
        bad.transport.write(b"\xff\xff\xff\xff")
        assert (await heard(bad))[1] == 1002
        assert json.loads(await good.recv())["type"] == "welcome"
