"""Calls of gRPC as spans, on both sides; probes and watches, which never end, are left out."""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

from runtime import traces

NOT_TRACED = ("Watch", "GetStatus")


def server_interceptors() -> "list[grpc.aio.ServerInterceptor]":
    """Return what makes a server's calls spans; nothing while none are sent."""
    return [_Server()] if traces.on() else []


def client_interceptors() -> "list[grpc.aio.ClientInterceptor]":
    """Return what makes a channel's calls spans; nothing while none are sent."""
    return [_UnaryCalls(), _StreamingCalls()] if traces.on() else []


class _Server(grpc.aio.ServerInterceptor):
    """Answers each call within a span, below the caller's."""

    async def intercept_service(  # type: ignore[override]  # the stubs' generic handler types do not unify
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        handler = await continuation(handler_call_details)
        name = str(handler_call_details.method).lstrip("/")
        if handler is None or name.startswith("grpc.") or name.rpartition("/")[2].startswith(NOT_TRACED):
            return handler
        carrier = [(key, str(value)) for key, value in handler_call_details.invocation_metadata or ()]
        if handler.unary_unary:
            unary = handler.unary_unary

            async def answer(request: Any, context: Any) -> Any:  # noqa: ANN401  every method has its own
                with traces.span(name, "SERVER", _attributes(name), carrier) as span:
                    try:
                        return await unary(request, context)
                    finally:
                        _note(span, context.code())

            return grpc.unary_unary_rpc_method_handler(
                answer, handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream and inspect.isasyncgenfunction(handler.unary_stream):
            streaming = handler.unary_stream

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401  as above
                span = traces.begin(name, "SERVER", _attributes(name), carrier)
                traces.make_current(span)
                try:
                    async with aclosing(streaming(request, context)) as answers:
                        async for one in answers:
                            yield one
                finally:
                    _note(span, context.code())
                    if span is not None:
                        span.end()

            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return handler


class _UnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Makes each call a span that the server's continues."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:  # noqa: ANN401  as grpc types it
        return await _call(continuation, client_call_details, request)


class _StreamingCalls(grpc.aio.UnaryStreamClientInterceptor):
    """Does the same for calls that answer a stream; the span ends with it."""

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:  # noqa: ANN401  as grpc types it
        return await _call(continuation, client_call_details, request)


async def _call(continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401  as grpc types it
    method = details.method
    name = (method.decode() if isinstance(method, bytes) else str(method)).lstrip("/")
    span = traces.begin(name, "CLIENT", _attributes(name))
    told = [*(details.metadata or ()), *traces.headers_of(span).items()]
    call = await continuation(details._replace(metadata=grpc.aio.Metadata(*told)), request)

    async def end() -> None:
        _note(span, await call.code())
        if span is not None:
            span.end()

    call.add_done_callback(lambda _: asyncio.ensure_future(end()))
    return call


def _attributes(name: str) -> dict[str, str | int]:
    service, _, method = name.partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def _note(span: Any, code: Any) -> None:  # noqa: ANN401  a code is a number on the server and a name on the client
    """Note how a call ended: by its status, or by what is being raised before there is one."""
    if span is None:
        return
    number = code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)
    span.set_attribute("rpc.grpc.status_code", number)
    if number:
        traces.failed(span, str(number))
    elif error := sys.exception():
        traces.failed(span, type(error).__name__)
