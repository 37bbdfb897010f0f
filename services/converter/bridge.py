"""Answer documented conversions with the words of a foreign Ice server."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import Ice

from gen.converter.v1 import converter_pb2
from services.converter import units
from services.converter.conversor import UnidadInvalidaException
from services.converter.ice import LOST, IceClient, reason

OPERATIONS = {
    "temperatura": "convertirTemperaturaAsync",
    "longitud": "convertirLongitudAsync",
    "peso": "convertirPesoAsync",
    "velocidad": "convertirVelocidadAsync",
}


class Bridge:
    """A foreign server as the source of answers.

    A call that finds its connection lost is made once more on a new one, which is safe: no operation has effects.
    A failure has the health of the server asked for at once.
    """

    def __init__(self, client: IceClient) -> None:
        self._client = client

    async def convert(self, asked: Sequence[converter_pb2.ConvertRequest]) -> list[converter_pb2.ConvertOutcome]:
        """Convert each, in order, all under way at once."""
        return await asyncio.gather(*(self._outcome(one) for one in asked))

    async def units(self, category: str) -> Sequence[str]:
        """List the units of a category; raises ``units.UnknownCategory`` or ``ConnectionError``."""
        try:
            listed: str = await self._call(lambda prx: prx.unidadesDisponiblesAsync(category))
        except UnidadInvalidaException:
            raise units.UnknownCategory(category) from None
        return listed.split(", ")

    async def _outcome(self, asked: converter_pb2.ConvertRequest) -> converter_pb2.ConvertOutcome:
        operation = OPERATIONS.get(asked.category.lower())
        if operation is None:
            why, text = converter_pb2.ConvertError.REASON_UNKNOWN_CATEGORY, str(units.UnknownCategory(asked.category))
            return converter_pb2.ConvertOutcome(error=converter_pb2.ConvertError(reason=why, message=text))
        try:
            value: float = await self._call(
                lambda prx: getattr(prx, operation)(asked.value, asked.from_unit, asked.to_unit)
            )
            return converter_pb2.ConvertOutcome(value=value)
        except UnidadInvalidaException as error:
            why, text = converter_pb2.ConvertError.REASON_UNKNOWN_UNIT, error.mensaje
        except ConnectionError as error:
            why, text = converter_pb2.ConvertError.REASON_UNAVAILABLE, str(error)
        return converter_pb2.ConvertOutcome(error=converter_pb2.ConvertError(reason=why, message=text))

    async def _call(self, invoke: Callable[[Any], Any]) -> Any:  # noqa: ANN401  as the operation answers
        try:
            try:
                return await Ice.wrap_future(invoke(self._client.prx))
            except LOST:
                return await Ice.wrap_future(invoke(self._client.prx))
        except Ice.LocalException as error:
            self._client.on_lost()
            raise ConnectionError(reason(error)) from None
