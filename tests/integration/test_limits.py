"""Clients that take too much of a listener, and what the others notice of them."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import pytest
from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry

from gateway import bridge
from gateway.app import create_app
from gateway.bridge import Bridge
from gateway.facades.converter.errors import error_response
from gateway.front import Front, Site
from gateway.limits import Limits
from gateway.listeners import Listeners, bind
from gateway.metrics import Metrics
from gateway.snapshots import Snapshots
from gateway.usage import STANDING_ROOM, Usage

PROBE = b"GET /api/status HTTP/1.1\r\nHost: any\r\n\r\n"
OTHER = b"GET /api/other HTTP/1.1\r\nHost: any\r\n\r\n"
POST = b"POST /api/other HTTP/1.1\r\nHost: any\r\nContent-Length: %d\r\n\r\n"
MAX_BODY = 1000


def application():
    views, loop = Blueprint("views", __name__), asyncio.get_running_loop()

    @views.get("/api/status")
    def status():
        return jsonify(status="ok")

    @views.get("/api/large")
    @views.get("/api/large/view")
    def large():
        return Response(b"x" * 20_000)

    @views.route("/api/other", methods=["GET", "POST"])
    def other():
        return jsonify(got=len(request.get_data()))

    @views.get("/api/stream")
    def stream():
        def chunks():
            yield "first"
            bridge.wait(asyncio.Event().wait(), loop)

        return Response(chunks())

    @views.get("/api/flood")
    def flood():
        def chunks():
            while True:
                yield b"x" * 65536

        return Response(chunks())

    return create_app("thing", views, error_response, MAX_BODY)


@asynccontextmanager
async def listening(limits, body_seconds=30.0):
    """Serve under the limits; yield what connects and what counts."""
    usage, bound = Usage(limits), bind("thing", "127.0.0.1", 0)
    port = bound.getsockname()[1]
    snapshots = Snapshots(lambda: 1, lambda: 7.0)
    site = Site("thing", Bridge(application(), MAX_BODY, body_seconds), frozenset({"/api/status", "/api/large"}))
    front = Front({port: site}, 0, snapshots, Metrics(CollectorRegistry()), usage)
    server = Listeners(front, snapshots, usage, grace_seconds=1)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    clients = []

    async def connect():
        clients.append(await Client.open(port))
        return clients[-1]

    try:
        yield connect, usage
    finally:
        for client in clients:
            client.writer.close()
        server.should_exit = True
        await serving
        await asyncio.gather(*(client.writer.wait_closed() for client in clients), return_exceptions=True)


class Client:
    @classmethod
    async def open(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def answer(self):
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])
            return int(head.split()[1]), head, json.loads(await self.reader.readexactly(length))

    async def ask(self, data):
        self.writer.write(data)
        return await self.answer()

    async def ended(self):
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True


@pytest.mark.parametrize("pieces", [1, 5])
async def test_a_head_that_is_too_large_is_refused_in_the_facades_words_and_the_connection_ends(pieces):
    head = OTHER[:-2] + b"X-Thing: " + b"x" * 5000 + b"\r\n\r\n"
    async with listening(Limits(header_bytes=2000)) as (connect, usage):
        client = await connect()
        size = -(-len(head) // pieces)
        for start in range(0, len(head), size):
            client.writer.write(head[start : start + size])
            await asyncio.sleep(0.01)
        status, _, body = await client.answer()
        assert (status, body) == (431, {"error": "Cabeceras demasiado grandes"})
        assert await client.ended()
        assert usage.refusals["head"] == 1


async def test_a_large_body_is_never_taken_for_a_head():
    async with listening(Limits(header_bytes=200)) as (connect, _):
        client = await connect()
        for _ in range(2):
            assert (await client.ask(POST % 900 + b"\r" * 900))[2] == {"got": 900}
        client.writer.write(POST % 900 + b"\r" * 900 + OTHER[:10])
        assert (await client.answer())[2] == {"got": 900}
        assert (await client.ask(OTHER[10:]))[2] == {"got": 0}


async def test_a_head_that_never_comes_whole_is_refused_in_time():
    async with listening(Limits(header_seconds=0.05)) as (connect, _):
        client = await connect()
        status, head, body = await client.ask(OTHER[:-4])
        assert (status, body) == (408, {"error": "La solicitud no llegó completa a tiempo"})
        assert b"connection: close" in head
        assert await client.ended()


async def test_a_head_that_comes_in_time_leaves_no_limit_behind():
    async with listening(Limits(header_seconds=0.1)) as (connect, _):
        client = await connect()
        client.writer.write(OTHER[:-4])
        await asyncio.sleep(0.01)
        assert (await client.ask(OTHER[-4:]))[0] == 200
        await asyncio.sleep(0.15)  # the time for a head passes while none is due
        assert (await client.ask(OTHER))[0] == 200


async def test_a_body_that_never_comes_whole_is_refused_in_the_facades_words():
    async with listening(Limits(), body_seconds=0.05) as (connect, _):
        client = await connect()
        status, head, body = await client.ask(POST % 10 + b"half")
        assert (status, body) == (408, {"error": "La solicitud no llegó completa a tiempo"})
        assert b"connection: close" in head
        assert await client.ended()


async def test_a_client_that_still_sends_what_is_too_large_reads_why():
    async with listening(Limits()) as (connect, _):
        client = await connect()
        client.writer.write(POST % 5_000_000)
        status, _, body = await client.answer()
        assert (status, body) == (413, {"error": "Solicitud demasiado grande"})
        for _ in range(10):
            client.writer.write(b"x" * 65536)
            await client.writer.drain()
        assert await client.ended()


async def test_what_is_no_http_is_refused_in_the_facades_words():
    async with listening(Limits()) as (connect, _):
        client = await connect()
        assert (await client.ask(b"\x16\x03\x01 hello\r\n\r\n"))[::2] == (400, {"error": "Solicitud inválida"})
        assert await client.ended()


async def test_answers_under_way_are_limited_but_probes_are_not():
    async with listening(Limits(answers=2)) as (connect, usage):
        streams = [await connect() for _ in range(2)]
        for stream in streams:
            stream.writer.write(OTHER.replace(b"other", b"stream"))
            async with asyncio.timeout(10):
                await stream.reader.readuntil(b"first")
        client = await connect()
        status, head, body = await client.ask(OTHER)
        assert (status, body) == (503, {"error": "Servidor ocupado"})
        assert b"retry-after: 1\r\n" in head
        assert (await client.ask(PROBE))[2] == {"status": "ok"}
        with_something_the_view_sees = PROBE.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
        assert (await client.ask(with_something_the_view_sees))[2] == {"status": "ok"}
        streams[0].writer.close()
        async with asyncio.timeout(10):
            while usage.answers == 2:
                await asyncio.sleep(0.01)
        assert (await client.ask(OTHER))[0] == 200


async def test_requests_of_a_client_are_limited_but_probes_are_not():
    async with listening(Limits(requests_per_minute=2)) as (connect, _):
        client = await connect()
        assert [(await client.ask(OTHER))[0] for _ in range(3)] == [200, 200, 429]
        _, head, body = await client.ask(OTHER)
        assert body == {"error": "Demasiadas solicitudes"}
        assert re.search(rb"retry-after: \d+\r\n", head)
        assert (await client.ask(PROBE))[0] == 200


@pytest.mark.parametrize(
    ("limits", "status", "text"),
    [
        (Limits(sockets=3), 503, "Servidor ocupado"),
        (Limits(sockets_per_client=3), 429, "Demasiadas solicitudes"),
    ],
)
async def test_a_socket_beyond_the_limit_is_told_so_and_closed_but_its_probe_is_answered(limits, status, text):
    async with listening(limits) as (connect, usage):
        within = [await connect() for _ in range(3)]
        for client in within:
            assert (await client.ask(PROBE))[0] == 200
        late, probing = await connect(), await connect()
        assert (await probing.ask(PROBE))[0] == 200
        assert await probing.ended()
        answer = await late.ask(OTHER)
        assert (answer[0], answer[2]) == (status, {"error": text})
        assert await late.ended()
        assert (await within[0].ask(OTHER))[0] == 200
        within[0].writer.close()
        async with asyncio.timeout(10):
            while usage.sockets != 2:
                await asyncio.sleep(0.01)
        assert (await (await connect()).ask(OTHER))[0] == 200


async def test_far_more_sockets_than_allowed_are_cut_at_once():
    async with listening(Limits(sockets=1)) as (connect, usage):
        clients = [await connect() for _ in range(STANDING_ROOM + 2)]
        assert await clients[-1].ended()
        assert usage.refusals["sockets"] >= 1


async def test_a_client_that_leaves_its_answer_unread_is_cut():
    async with listening(Limits(stall_seconds=0.1)) as (connect, usage):
        client = await connect()
        client.writer.write(OTHER.replace(b"other", b"flood"))
        async with asyncio.timeout(10):
            while not usage.refusals["stall"]:
                await asyncio.sleep(0.01)
            while usage.answers:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", [b"/api/large", b"/api/large/view"])
async def test_a_client_that_asks_and_asks_and_never_reads_is_cut(path):
    async with listening(Limits(stall_seconds=0.1)) as (connect, usage):
        client = await connect()
        async with asyncio.timeout(30):
            while not usage.refusals["stall"]:
                client.writer.write(PROBE.replace(b"/api/status", path))
                await asyncio.sleep(0.001)


async def test_hundreds_of_slow_clients_leave_probes_and_calls_answered():
    async with listening(Limits(header_seconds=2.0), body_seconds=2.0) as (connect, usage):
        slow = []
        for piece in (b"GET /api/o", OTHER[:-2], POST % 900 + b"x"):
            for _ in range(150):
                client = await connect()
                client.writer.write(piece)
                slow.append(client)
        client = await connect()
        for _ in range(20):
            assert (await client.ask(PROBE))[0] == 200
            assert (await client.ask(OTHER))[0] == 200
        assert (await slow[0].answer())[0] == (await slow[-1].answer())[0] == 408
        for one in slow:
            assert await one.reader.read() is not None
        async with asyncio.timeout(10):
            while usage.sockets > 1:
                await asyncio.sleep(0.01)
