"""The gRPC edge of the documented units and of the exact ones."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import grpc

from gen.converter.v1 import converter_pb2, converter_pb2_grpc
from runtime.status import StatusFeed
from services.converter import exact, units
from services.converter.catalogue import Catalogue, Language, Quantity, Unit

MAX_BATCH = 1024

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

LANGUAGES: Final[Mapping[str, Language]] = {"": "es", "es": "es", "en": "en"}
REASONS: Final[Mapping[exact.Problem, converter_pb2.ConvertError.Reason]] = {
    exact.Problem.UNKNOWN_QUANTITY: converter_pb2.ConvertError.REASON_UNKNOWN_CATEGORY,
    exact.Problem.UNKNOWN_UNIT: converter_pb2.ConvertError.REASON_UNKNOWN_UNIT,
    exact.Problem.INCOMPATIBLE_UNITS: converter_pb2.ConvertError.REASON_INCOMPATIBLE_UNITS,
    exact.Problem.INVALID_VALUE: converter_pb2.ConvertError.REASON_INVALID_VALUE,
}


CODES: Final[Mapping[converter_pb2.ConvertError.Reason, grpc.StatusCode]] = {
    converter_pb2.ConvertError.REASON_UNKNOWN_CATEGORY: grpc.StatusCode.NOT_FOUND,
    converter_pb2.ConvertError.REASON_UNKNOWN_UNIT: grpc.StatusCode.INVALID_ARGUMENT,
    converter_pb2.ConvertError.REASON_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


class Source(Protocol):
    """Where the answers about documented units come from."""

    async def convert(self, asked: Sequence[converter_pb2.ConvertRequest]) -> list[converter_pb2.ConvertOutcome]:
        """Convert each, in order."""

    async def units(self, category: str) -> Sequence[str]:
        """List the units of a category; raises ``units.UnknownCategory`` or ``ConnectionError``."""


class ConverterServicer(converter_pb2_grpc.ConverterServiceServicer):
    """Implement ``converter.v1.ConverterService`` over a source of answers, ``exact`` and a status feed."""

    def __init__(self, source: Source, catalogue: Catalogue, feed: StatusFeed[converter_pb2.ConverterStatus]) -> None:
        self._source = source
        self._catalogue = catalogue
        self._feed = feed

    async def Convert(self, request: converter_pb2.ConvertRequest, context: Context) -> converter_pb2.ConvertResponse:
        """Convert one documented quantity."""
        (outcome,) = await self._source.convert([request])
        if outcome.WhichOneof("outcome") == "error":
            await context.abort(CODES[outcome.error.reason], outcome.error.message)
        return converter_pb2.ConvertResponse(value=outcome.value)

    async def ConvertBatch(
        self, request: converter_pb2.ConvertBatchRequest, context: Context
    ) -> converter_pb2.ConvertBatchResponse:
        """Convert many documented quantities, each with its own outcome."""
        await _refuse_too_many(len(request.conversions), context)
        return converter_pb2.ConvertBatchResponse(outcomes=await self._source.convert(request.conversions))

    async def ConvertExact(
        self, request: converter_pb2.ConvertExactRequest, context: Context
    ) -> converter_pb2.ConvertExactResponse:
        """Convert quantities exactly, each with its own outcome."""
        await _refuse_too_many(len(request.conversions), context)
        if request.language not in LANGUAGES:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "language must be es or en")
        language = LANGUAGES[request.language]
        return converter_pb2.ConvertExactResponse(
            outcomes=[_exact_outcome(self._catalogue, one, language) for one in request.conversions]
        )

    async def ListUnits(
        self, request: converter_pb2.ListUnitsRequest, context: Context
    ) -> converter_pb2.ListUnitsResponse:
        """List the units of one documented category."""
        try:
            return converter_pb2.ListUnitsResponse(units=await self._source.units(request.category))
        except units.UnknownCategory as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except ConnectionError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    async def ListExactUnits(
        self, request: converter_pb2.ListExactUnitsRequest, context: Context
    ) -> converter_pb2.ListExactUnitsResponse:
        """List one quantity or all, with their units."""
        known = self._catalogue.quantities
        if request.quantity and request.quantity not in known:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown quantity: {request.quantity}")
        listed = [known[request.quantity]] if request.quantity else known.values()
        return converter_pb2.ListExactUnitsResponse(quantities=[_quantity(quantity) for quantity in listed])

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


async def _refuse_too_many(conversions: int, context: Context) -> None:
    if conversions > MAX_BATCH:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"more than {MAX_BATCH} conversions")


def _exact_outcome(
    catalogue: Catalogue, request: converter_pb2.ExactConversion, language: Language
) -> converter_pb2.ExactOutcome:
    asked = exact.Conversion(
        request.value,
        request.from_unit,
        request.to_unit,
        request.quantity,
        request.significant_digits or exact.DEFAULT_DIGITS,
    )
    try:
        result = exact.convert(catalogue, asked, language)
    except exact.CannotConvert as error:
        return converter_pb2.ExactOutcome(
            error=converter_pb2.ConvertError(
                reason=REASONS[error.problem], message=str(error), suggestions=error.suggestions
            )
        )
    return converter_pb2.ExactOutcome(
        value=converter_pb2.ExactValue(
            value=result.value,
            decimal=result.decimal,
            exact=result.exact,
            quantity=result.from_unit.quantity,
            from_unit=result.from_unit.symbol,
            to_unit=result.to_unit.symbol,
            warning=result.warning,
        )
    )


def _quantity(quantity: Quantity) -> converter_pb2.Quantity:
    return converter_pb2.Quantity(
        name=quantity.name,
        name_es=quantity.names["es"],
        name_en=quantity.names["en"],
        units=[_unit(unit) for unit in quantity.units],
    )


def _unit(unit: Unit) -> converter_pb2.Unit:
    return converter_pb2.Unit(
        symbol=unit.symbol,
        name_es=unit.names["es"],
        name_en=unit.names["en"],
        aliases=unit.aliases,
        factor=unit.plain_factor,
        source=unit.source,
    )
