"""Answer documented conversions in this process."""

from collections.abc import Sequence

from gen.converter.v1 import converter_pb2
from services.converter import units


class Embedded:
    """The documented units themselves, the default source of answers."""

    async def convert(self, asked: Sequence[converter_pb2.ConvertRequest]) -> list[converter_pb2.ConvertOutcome]:
        """Convert each, in order."""
        return [_outcome(one) for one in asked]

    async def units(self, category: str) -> Sequence[str]:
        """List the units of a category; raises ``units.UnknownCategory``."""
        return units.units(category)


def _outcome(asked: converter_pb2.ConvertRequest) -> converter_pb2.ConvertOutcome:
    try:
        return converter_pb2.ConvertOutcome(
            value=units.convert(asked.category, asked.value, asked.from_unit, asked.to_unit)
        )
    except units.UnknownCategory as error:
        reason, text = converter_pb2.ConvertError.REASON_UNKNOWN_CATEGORY, str(error)
    except units.UnknownUnit as error:
        reason, text = converter_pb2.ConvertError.REASON_UNKNOWN_UNIT, str(error)
    return converter_pb2.ConvertOutcome(error=converter_pb2.ConvertError(reason=reason, message=text))
