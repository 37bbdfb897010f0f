"""Calls as spans, kept by a provider in the test: how they end, and what they are below."""

import asyncio

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime import traced_rpc, traces

ANSWER, STREAM, WATCH = "/news.v1.News/Answer", "/news.v1.News/Stream", "/news.v1.News/WatchStatus"


class News:
    """Three methods over plain bytes."""

    def __init__(self):
        self.closed = asyncio.Event()

    async def answer(self, request, context):
        if request == b"refuse":
            await context.abort(grpc.StatusCode.NOT_FOUND, "a secret")
        if request == b"break":
            raise KeyError("a secret")
        return request

    async def stream(self, request, context):
        try:
            yield request
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def watch(self, request, context):
        yield request


@pytest.fixture
def spans():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces._tracers[:] = [provider.get_tracer("test")]
    yield exporter.get_finished_spans
    traces._tracers.clear()


@pytest.fixture
async def news(spans):
    """The service, and a channel to it, both traced."""
    news = News()
    handlers = {
        "Answer": grpc.unary_unary_rpc_method_handler(news.answer),
        "Stream": grpc.unary_stream_rpc_method_handler(news.stream),
        "WatchStatus": grpc.unary_stream_rpc_method_handler(news.watch),
    }
    server = grpc.aio.server(interceptors=traced_rpc.server_interceptors())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("news.v1.News", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    interceptors = traced_rpc.client_interceptors()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors) as channel:
        news.channel = channel
        yield news
    await server.stop(None)


def ended(spans):
    return {(span.kind.name, span.attributes.get("error.type")) for span in spans()}


async def test_a_call_is_a_span_of_the_server_below_one_of_the_client(news, spans, until):
    assert await news.channel.unary_unary(ANSWER)(b"yes", timeout=5) == b"yes"
    await until(lambda: len(spans()) == 2)
    client, server = sorted(spans(), key=lambda span: span.kind.name)
    assert server.parent.span_id == client.context.span_id
    assert {client.name, server.name} == {"news.v1.News/Answer"}
    assert ended(spans) == {("CLIENT", None), ("SERVER", None)}


async def test_a_refused_call_has_failed_by_its_code_and_without_its_words(news, spans, until):
    with pytest.raises(grpc.aio.AioRpcError):
        await news.channel.unary_unary(ANSWER)(b"refuse", timeout=5)
    await until(lambda: len(spans()) == 2)
    assert ended(spans) == {("CLIENT", "5"), ("SERVER", "5")}
    assert "a secret" not in "".join(span.to_json() for span in spans())


async def test_a_broken_method_has_failed_by_the_type_of_its_error(news, spans, until):
    with pytest.raises(grpc.aio.AioRpcError):
        await news.channel.unary_unary(ANSWER)(b"break", timeout=5)
    await until(lambda: len(spans()) == 2)
    assert ended(spans) == {("CLIENT", "2"), ("SERVER", "KeyError")}
    assert "a secret" not in "".join(span.to_json() for span in spans())


async def test_a_client_that_leaves_a_stream_ends_its_spans_and_its_generator(news, spans, until):
    call = news.channel.unary_stream(STREAM)(b"first", timeout=30)
    assert await call.read() == b"first"
    call.cancel()
    async with asyncio.timeout(10):
        await news.closed.wait()
    await until(lambda: len(spans()) == 2)
    assert ended(spans) == {("CLIENT", "1"), ("SERVER", "CancelledError")}


async def test_watches_of_the_status_are_no_spans_of_the_server(news, spans, until):
    assert await news.channel.unary_stream(WATCH)(b"status", timeout=5).read() == b"status"
    await until(lambda: [span.kind.name for span in spans()] == ["CLIENT"])  # the monitor's channels are not traced
