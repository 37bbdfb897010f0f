import asyncio
import itertools
import re

import pytest
from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry

from gateway.app import create_app
from gateway.bridge import Bridge
from gateway.front import Front, Site
from gateway.listeners import Listeners, bind
from gateway.metrics import Metrics
from gateway.snapshots import Snapshots
from gateway.usage import Usage

GET = b"GET /api/status HTTP/1.1\r\nHost: any\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: any\r\n\r\n"


class Version:
    number = 1


@pytest.fixture
def version():
    return Version()


@pytest.fixture
async def server(version):
    """A listener whose Flask view counts how often it ran."""
    views, runs = Blueprint("views", __name__), itertools.count()

    @views.get("/api/status")
    def status():
        return jsonify(run=next(runs))

    @views.get("/other")
    def other():
        return jsonify(run=next(runs), query=request.query_string.decode())

    app = create_app("thing", views, lambda status, error: Response(str(error), status), 1000)
    bound = bind("thing", "127.0.0.1", 0)
    usage = Usage()
    snapshots = Snapshots(lambda: version.number, lambda: 7.0)
    site = Site("thing", Bridge(app, 1000), frozenset({"/api/status"}))
    front = Front({bound.getsockname()[1]: site}, 0, snapshots, Metrics(CollectorRegistry()), usage)
    server = Listeners(front, snapshots, usage, grace_seconds=5)
    server.port = bound.getsockname()[1]
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    yield server
    server.should_exit = True
    await serving


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, *pieces):
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def answer(self):
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])
            return head, await self.reader.readexactly(length)

    async def ask(self, *pieces):
        await self.send(*pieces)
        return await self.answer()


@pytest.fixture
async def connect(server):
    clients = []

    async def connect():
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", server.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.close()


def without_date(head):
    return re.sub(rb"date: [^\r]+\r\n", b"", head)


async def test_the_remembered_answer_is_the_one_uvicorn_wrote(connect):
    client = await connect()
    first, second = await client.ask(GET), await client.ask(GET)
    assert without_date(first[0]) == without_date(second[0])
    assert first[1] == second[1] == b'{"run":0}\n'


async def test_another_connection_gets_the_remembered_answer_too(connect):
    await (await connect()).ask(GET)
    assert (await (await connect()).ask(GET))[1] == b'{"run":0}\n'


async def test_a_change_of_the_picture_is_seen_at_the_next_request(connect, version):
    client = await connect()
    await client.ask(GET)
    version.number += 1
    assert (await client.ask(GET))[1] == b'{"run":1}\n'


async def test_an_answer_is_never_given_to_other_bytes(connect):
    client = await connect()
    await client.ask(GET)
    await client.ask(GET)
    assert (await client.ask(OTHER))[1] == b'{"query":"","run":1}\n'
    assert (await client.ask(GET.replace(b"status", b"status?x=1")))[1] == b'{"run":2}\n'


async def test_a_request_in_pieces_is_answered_as_a_whole_one(connect):
    client = await connect()
    await client.ask(GET)
    assert (await client.ask(GET[:9], GET[9:-2], GET[-2:]))[1] == b'{"run":0}\n'


async def test_the_end_of_a_request_that_looks_like_one_is_not_taken_for_one(connect):
    client = await connect()
    await client.ask(GET)
    smuggled = b"POST /other HTTP/1.1\r\nHost: any\r\nContent-Length: %d\r\n\r\n" % len(GET)
    head, _ = await client.ask(smuggled, GET)
    assert head.startswith(b"HTTP/1.1 405")
    assert (await client.ask(OTHER))[1] == b'{"query":"","run":1}\n'


async def test_pipelined_requests_are_answered_in_order(connect):
    client = await connect()
    await client.ask(GET)
    await client.send(OTHER + GET + OTHER)
    assert [(await client.answer())[1] for _ in range(3)] == [
        b'{"query":"","run":1}\n',
        b'{"run":0}\n',
        b'{"query":"","run":2}\n',
    ]


async def test_a_client_that_wants_to_close_is_closed(connect):
    closing = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for _ in range(2):
        client = await connect()
        head, body = await client.ask(closing)
        assert b"connection: close" in head
        assert body == b'{"run":0}\n'
        async with asyncio.timeout(5):
            assert await client.reader.read() == b""


async def test_an_old_client_is_answered_and_closed(connect):
    old = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
    for _ in range(2):
        client = await connect()
        assert (await client.ask(old))[1] == b'{"run":0}\n'
        async with asyncio.timeout(5):
            assert await client.reader.read() == b""


async def test_garbage_is_refused_and_leaves_others_alone(connect):
    client, other = await connect(), await connect()
    await client.send(b"\x00\x01 garbage\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await client.reader.read()).startswith(b"HTTP/1.1 400")
    assert (await other.ask(GET))[1] == b'{"run":0}\n'


async def test_a_new_connection_goes_on_after_an_answer_from_memory(connect):
    await (await connect()).ask(GET)
    client = await connect()
    assert (await client.ask(GET))[1] == b'{"run":0}\n'
    assert (await client.ask(OTHER))[1] == b'{"query":"","run":1}\n'
    assert (await client.ask(GET))[1] == b'{"run":0}\n'


async def test_connections_that_ask_nothing_do_not_hold_up_a_shutdown(connect, server):
    silent, idle = await connect(), await connect()
    await idle.ask(GET)
    server.should_exit = True
    async with asyncio.timeout(5):
        assert await silent.reader.read() == b""
        assert await idle.reader.read() == b""


async def test_a_connection_that_asks_nothing_is_closed(connect, server):
    server.config.timeout_keep_alive = 0.05
    silent = await connect()
    async with asyncio.timeout(5):
        assert await silent.reader.read() == b""


async def test_a_connection_that_was_answered_is_closed_once_idle(connect, server):
    await (await connect()).ask(GET)
    server.config.timeout_keep_alive = 0.05
    client = await connect()
    await client.ask(GET)
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""
