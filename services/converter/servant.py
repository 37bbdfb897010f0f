"""The Ice edge of the units."""

from services.converter import units
from services.converter.conversor import ConversorUnidades, UnidadInvalidaException


class ConversorServant(ConversorUnidades):  # type: ignore[misc]  # the class exists only at run time
    """Implement ``::Conversor::ConversorUnidades``; called on threads of the Ice runtime."""

    def convertirTemperatura(self, valor: float, desde: str, hasta: str, _current: object) -> float:
        """Convert between celsius, fahrenheit and kelvin."""
        return _convert("temperatura", valor, desde, hasta)

    def convertirLongitud(self, valor: float, desde: str, hasta: str, _current: object) -> float:
        """Convert between m, km, mi and ft."""
        return _convert("longitud", valor, desde, hasta)

    def convertirPeso(self, valor: float, desde: str, hasta: str, _current: object) -> float:
        """Convert between kg, lb and g."""
        return _convert("peso", valor, desde, hasta)

    def convertirVelocidad(self, valor: float, desde: str, hasta: str, _current: object) -> float:
        """Convert between kmh, mph and ms."""
        return _convert("velocidad", valor, desde, hasta)

    def unidadesDisponibles(self, categoria: str, _current: object) -> str:
        """List the units of a category as one text."""
        try:
            return ", ".join(units.units(categoria))
        except units.UnknownCategory as error:
            raise UnidadInvalidaException(str(error)) from None


def _convert(category: str, value: float, from_unit: str, to_unit: str) -> float:
    try:
        return units.convert(category, value, from_unit, to_unit)
    except units.UnknownUnit as error:
        raise UnidadInvalidaException(str(error)) from None
