"""Convert between the documented units, bit for bit as the original does."""

from collections.abc import Callable, Mapping

Double = Callable[[float], float]

# Category and unit order is documented order; the operations and their order decide the last bits of a result.
TO_CELSIUS: Mapping[str, Double] = {
    "celsius": lambda value: value,
    "fahrenheit": lambda value: ((value - 32) * 5) / 9,
    "kelvin": lambda value: value - 273.15,
}
FROM_CELSIUS: Mapping[str, Double] = {
    "celsius": lambda celsius: celsius,
    "fahrenheit": lambda celsius: ((celsius * 9) / 5) + 32,
    "kelvin": lambda celsius: celsius + 273.15,
}
FACTORS: Mapping[str, Mapping[str, float]] = {
    "longitud": {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048},
    "peso": {"kg": 1.0, "lb": 0.453592, "g": 0.001},  # not the legal pound: existing clients compare numbers
    "velocidad": {"kmh": 1 / 3.6, "mph": 0.44704, "ms": 1.0},
}
TEMPERATURE = "temperatura"
UNITS: Mapping[str, tuple[str, ...]] = {
    TEMPERATURE: tuple(TO_CELSIUS),
    **{category: tuple(factors) for category, factors in FACTORS.items()},
}


class UnknownCategory(Exception):
    """The category is not documented; the text quotes it as received."""

    def __init__(self, category: str) -> None:
        super().__init__(f"Categoria '{category}' no existe. Disponibles: {', '.join(UNITS)}")


class UnknownUnit(Exception):
    """A unit is not documented for its category; the text quotes it lower-cased."""


def convert(category: str, value: float, from_unit: str, to_unit: str) -> float:
    """Convert in the documented order of double operations; names are lower-cased, never trimmed.

    NaN and infinities pass through by IEEE rules.
    """
    known = category.lower()
    if known not in UNITS:
        raise UnknownCategory(category)
    source, target = from_unit.lower(), to_unit.lower()
    _check_units(known, source, target)
    if known == TEMPERATURE:
        return FROM_CELSIUS[target](TO_CELSIUS[source](value))
    factors = FACTORS[known]
    return (value * factors[source]) / factors[target]


def units(category: str) -> tuple[str, ...]:
    """List the units of a category in documented order."""
    try:
        return UNITS[category.lower()]
    except KeyError:
        raise UnknownCategory(category) from None


def _check_units(category: str, source: str, target: str) -> None:
    valid = UNITS[category]
    problems = [
        f"Unidad {role} '{unit}' no valida para {category}. "
        for role, unit in (("origen", source), ("destino", target))
        if unit not in valid
    ]
    if problems:
        raise UnknownUnit(f"{''.join(problems)}Validas: {', '.join(sorted(valid))}")
