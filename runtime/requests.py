"""The request id that the gateway gives and every log line of a call carries."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from runtime import logs

REQUEST_ID_KEY = "x-request-id"


class RequestIdInterceptor(grpc.aio.ServerInterceptor):
    """Bind the request id of a call's metadata to the task that answers it."""

    async def intercept_service(  # type: ignore[override]  # the stubs' generic handler types do not unify
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """Look at the metadata only; the call goes on unchanged."""
        for key, value in handler_call_details.invocation_metadata or ():
            if key == REQUEST_ID_KEY:
                logs.request_id.set(str(value))
        return await continuation(handler_call_details)
