"""The gRPC edge of the units."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from gen.converter.v1 import converter_pb2, converter_pb2_grpc
from runtime.status import StatusFeed
from services.converter import units

MAX_BATCH = 1024

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class ConverterServicer(converter_pb2_grpc.ConverterServiceServicer):
    """Implement ``converter.v1.ConverterService`` over ``units`` and the status feed of the process."""

    def __init__(self, feed: StatusFeed[converter_pb2.ConverterStatus]) -> None:
        self._feed = feed

    async def Convert(self, request: converter_pb2.ConvertRequest, context: Context) -> converter_pb2.ConvertResponse:
        """Convert one documented quantity."""
        try:
            value = units.convert(request.category, request.value, request.from_unit, request.to_unit)
        except units.UnknownCategoryError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except units.UnknownUnitError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return converter_pb2.ConvertResponse(value=value)

    async def ConvertBatch(
        self, request: converter_pb2.ConvertBatchRequest, context: Context
    ) -> converter_pb2.ConvertBatchResponse:
        """Convert many quantities, each with its own outcome."""
        if len(request.conversions) > MAX_BATCH:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"more than {MAX_BATCH} conversions")
        return converter_pb2.ConvertBatchResponse(outcomes=[_outcome(one) for one in request.conversions])

    async def ListUnits(
        self, request: converter_pb2.ListUnitsRequest, context: Context
    ) -> converter_pb2.ListUnitsResponse:
        """List the units of one documented category."""
        try:
            return converter_pb2.ListUnitsResponse(units=units.units(request.category))
        except units.UnknownCategoryError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    async def GetStatus(
        self, _request: converter_pb2.GetStatusRequest, _context: Context
    ) -> converter_pb2.GetStatusResponse:
        """Tell the status document once."""
        return converter_pb2.GetStatusResponse(status=self._feed.build())

    async def WatchStatus(
        self, _request: converter_pb2.WatchStatusRequest, _context: Context
    ) -> AsyncIterator[converter_pb2.WatchStatusResponse]:
        """Tell the status document at once and on every change."""
        async for status in self._feed.watch():
            yield converter_pb2.WatchStatusResponse(status=status)


def _outcome(request: converter_pb2.ConvertRequest) -> converter_pb2.ConvertOutcome:
    try:
        return converter_pb2.ConvertOutcome(
            value=units.convert(request.category, request.value, request.from_unit, request.to_unit)
        )
    except units.UnknownCategoryError as error:
        return _failure(converter_pb2.ConvertError.REASON_UNKNOWN_CATEGORY, error)
    except units.UnknownUnitError as error:
        return _failure(converter_pb2.ConvertError.REASON_UNKNOWN_UNIT, error)


def _failure(reason: converter_pb2.ConvertError.Reason, error: Exception) -> converter_pb2.ConvertOutcome:
    return converter_pb2.ConvertOutcome(error=converter_pb2.ConvertError(reason=reason, message=str(error)))
