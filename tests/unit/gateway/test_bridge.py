import asyncio
import threading

import httpx
import pytest
from flask import Flask, Response, request

from gateway import bridge
from gateway.bridge import WHOLE_BYTES, Bridge

MAX_BODY = 1000


def application():
    app = Flask("thing", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    loop = asyncio.get_running_loop()

    async def later(value):
        await asyncio.sleep(0)
        return value

    async def fail():
        await asyncio.sleep(0)
        raise LookupError("told by the awaited")

    @app.post("/echo")
    def echo():
        first = bridge.wait(later(request.get_data()), loop)
        return Response(first + b"|" + request.headers.get("X-Thing", "").encode())

    @app.get("/fail")
    def failing():
        try:
            bridge.wait(fail(), loop)
        except LookupError as error:
            return Response(str(error), 418)

    @app.get("/stream")
    def stream():
        def chunks():
            for number in range(3):
                yield f"{bridge.wait(later(number), loop)}\n"

        return Response(chunks())

    @app.get("/path/<part>")
    def path(part):
        return Response(f"{request.script_root}|{part}|{request.remote_addr}")

    return app


def client(app, **arguments):
    transport = httpx.ASGITransport(Bridge(app, MAX_BODY), **arguments)
    return httpx.AsyncClient(transport=transport, base_url="http://thing")


async def test_a_view_waits_for_the_loop_and_answers():
    async with client(application()) as http:
        answer = await http.post("/echo", content=b"body", headers={"X-Thing": "yes"})
    assert (answer.status_code, answer.content) == (200, b"body|yes")


async def test_an_error_of_what_is_awaited_is_raised_in_the_view():
    async with client(application()) as http:
        answer = await http.get("/fail")
    assert (answer.status_code, answer.text) == (418, "told by the awaited")


async def test_interleaved_requests_keep_their_own_context():
    async with client(application()) as http:
        answers = await asyncio.gather(*(http.post("/echo", content=str(n).encode()) for n in range(20)))
    assert [answer.content for answer in answers] == [f"{n}|".encode() for n in range(20)]


async def test_a_generator_streams_chunk_by_chunk():
    sent = []

    async def send(event):
        sent.append(event)

    async def receive():
        await asyncio.Event().wait()

    await Bridge(application(), MAX_BODY)(scope("GET", "/stream"), receive, send)
    assert [event.get("body") for event in sent[1:]] == [b"0\n", b"1\n", b"2\n", b""]


async def test_a_large_answer_of_known_length_is_streamed_too_and_never_put_together():
    pieces = WHOLE_BYTES // 1000 + 1
    sent = []

    def large(environ, start_response):
        start_response("200 OK", [("Content-Length", str(1000 * pieces))])
        return (bytes(1000) for _ in range(pieces))

    async def send(event):
        sent.append(event)

    async def receive():
        await asyncio.Event().wait()

    await Bridge(large, MAX_BODY)(scope("GET", "/large"), receive, send)
    assert sent[0]["headers"] == [(b"content-length", str(1000 * pieces).encode())]
    assert max(len(event["body"]) for event in sent[1:]) == 1000
    assert sum(len(event["body"]) for event in sent[1:]) == 1000 * pieces


async def test_a_body_above_the_limit_is_refused_by_the_application_and_not_read():
    async with client(application()) as http:
        answer = await http.post("/echo", content=b"x" * (MAX_BODY + 1))
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


async def test_a_chunked_body_above_the_limit_is_refused():
    async def body():
        for _ in range(3):
            yield b"x" * MAX_BODY

    async with client(application()) as http:
        answer = await http.post("/echo", content=body())
    assert answer.status_code == 413


async def test_a_chunked_body_within_the_limit_arrives_whole():
    async def body():
        yield b"one "
        yield b"two"

    async with client(application()) as http:
        answer = await http.post("/echo", content=body())
    assert (answer.status_code, answer.content) == (200, b"one two|")


async def test_a_path_is_percent_decoded_and_its_bad_bytes_replaced():
    async with client(application(), client=("192.0.2.7", 1)) as http:
        answer = await http.get("/path/%E1%88%B4%FF")
    assert answer.text == "|\u1234\ufffd|192.0.2.7"


async def test_a_prefix_becomes_the_script_root():
    async with client(application(), root_path="/thing") as http:
        answer = await http.get("/thing/path/x")
    assert answer.text.startswith("/thing|x|")


async def test_a_client_that_leaves_cancels_what_the_view_waits_for(until):
    app = Flask("thing", static_folder=None)
    loop = asyncio.get_running_loop()
    seen = []

    async def for_ever():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @app.get("/hang")
    def hang():
        try:
            bridge.wait(for_ever(), loop)
        finally:
            seen.append("view left")

    left = asyncio.Event()

    async def receive():
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(event):
        raise AssertionError("nobody is there")

    answering = asyncio.create_task(Bridge(app, MAX_BODY)(scope("GET", "/hang"), receive, send))
    await asyncio.sleep(0)
    left.set()
    async with asyncio.timeout(5):
        await answering
    assert seen == ["cancelled", "view left"]


async def test_a_client_that_leaves_a_stream_closes_its_generator(until):
    app = Flask("thing", static_folder=None)
    loop = asyncio.get_running_loop()
    closed = threading.Event()

    @app.get("/events")
    def events():
        def chunks():
            try:
                yield "first"
                bridge.wait(asyncio.sleep(3600), loop)
            finally:
                closed.set()

        return Response(chunks())

    left = asyncio.Event()

    async def receive():
        await left.wait()
        return {"type": "http.disconnect"}

    sent = []

    async def send(event):
        sent.append(event)

    answering = asyncio.create_task(Bridge(app, MAX_BODY)(scope("GET", "/events"), receive, send))
    await until(lambda: len(sent) == 2)
    left.set()
    async with asyncio.timeout(5):
        await answering
    assert closed.is_set()


async def test_the_same_application_runs_in_a_thread_under_any_wsgi_server():
    app = application()
    answer = await asyncio.to_thread(lambda: app.test_client().post("/echo", data=b"threads"))
    assert (answer.status_code, answer.data) == (200, b"threads|")


async def test_blocking_the_loop_itself_is_refused():
    async def never():
        raise AssertionError("must not run")

    with pytest.raises(RuntimeError, match="its own loop"):
        bridge.wait(never(), asyncio.get_running_loop())


async def test_an_asynchronous_iterator_is_read_in_blocking_style():
    async def numbers():
        yield 1
        yield 2

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(lambda: list(bridge.iterate(numbers(), loop))) == [1, 2]


def scope(method, path):
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "headers": [],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
