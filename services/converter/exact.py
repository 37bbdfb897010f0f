"""Convert everyday quantities with rational numbers, rounded once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from difflib import get_close_matches
from enum import Enum, auto
from fractions import Fraction
from itertools import product
from typing import Final

from services.converter.catalogue import Catalogue, Language, Unit

DEFAULT_DIGITS = 15
MAX_DIGITS = 50
MAX_TEXT = 1000
MAX_EXPONENT = 1000  # more would only cost memory: doubles end at 308
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,9}))?")

TEXTS: Final[Mapping[str, Mapping[Language, str]]] = {
    "digits": {
        "es": "Las cifras significativas van de 1 a {most}",
        "en": "Significant digits go from 1 to {most}",
    },
    "number": {"es": "El valor no es un número decimal", "en": "The value is not a decimal number"},
    "zero": {"es": "0 {unit} no se puede expresar al revés", "en": "0 {unit} has no reciprocal"},
    "overflow": {"es": "El valor está fuera del alcance", "en": "The value is out of range"},
    "quantity": {"es": "Magnitud desconocida: {name}", "en": "Unknown quantity: {name}"},
    "unit": {"es": "Unidad desconocida: {name}", "en": "Unknown unit: {name}"},
    "incompatible": {
        "es": "{source} mide {a} y {target} mide {b}",
        "en": "{source} measures {a} and {target} measures {b}",
    },
    "impossible": {"es": "Por debajo del cero absoluto", "en": "Below absolute zero"},
}


@dataclass(frozen=True)
class Result:
    """An exact result as the nearest double and as a decimal of so many digits."""

    value: float
    decimal: str
    exact: bool
    from_unit: Unit
    to_unit: Unit
    warning: str


class Problem(Enum):
    """What can be wrong with a conversion."""

    UNKNOWN_QUANTITY = auto()
    UNKNOWN_UNIT = auto()
    INCOMPATIBLE_UNITS = auto()
    INVALID_VALUE = auto()


class CannotConvert(Exception):
    """A conversion is refused; the text is in the asked language, ``suggestions`` name what may have been meant."""

    def __init__(
        self, problem: Problem, key: str, language: Language, suggestions: Sequence[str] = (), **parts: object
    ) -> None:
        super().__init__(TEXTS[key][language].format(**parts))
        self.problem = problem
        self.suggestions = list(suggestions)


@dataclass(frozen=True)
class Conversion:
    """One conversion as asked for; an empty quantity is found from the units."""

    value: str
    from_unit: str
    to_unit: str
    quantity: str = ""
    digits: int = DEFAULT_DIGITS


def convert(catalogue: Catalogue, asked: Conversion, language: Language) -> Result:
    """Convert a decimal text exactly and round the result once; raises ``CannotConvert``."""
    if not 1 <= asked.digits <= MAX_DIGITS:
        raise CannotConvert(Problem.INVALID_VALUE, "digits", language, most=MAX_DIGITS)
    number = _read(asked.value, language)
    source, target = _pair(catalogue, asked, language)
    if (source.inverse or target.inverse) and not number:
        raise CannotConvert(Problem.INVALID_VALUE, "zero", language, unit=source.symbol)
    first = source.to_first(number)
    result = target.from_first(first)
    try:
        nearest = float(result)
    except OverflowError:
        raise CannotConvert(Problem.INVALID_VALUE, "overflow", language) from None
    decimal, rounded = _decimal(result, asked.digits)
    rational = source is target or (source.rational and target.rational)
    least = catalogue.quantities[source.quantity].least
    impossible = least is not None and first < least
    warning = TEXTS["impossible"][language] if impossible else ""
    return Result(nearest, decimal, rational and not rounded, source, target, warning)


def _pair(catalogue: Catalogue, asked: Conversion, language: Language) -> tuple[Unit, Unit]:
    """Find the two units, of one quantity; where several would do, the quantity listed first wins."""
    if asked.quantity and asked.quantity not in catalogue.quantities:
        close = get_close_matches(asked.quantity[:MAX_TEXT], catalogue.quantities)
        raise CannotConvert(Problem.UNKNOWN_QUANTITY, "quantity", language, close, name=asked.quantity)
    quantities = {asked.quantity} if asked.quantity else catalogue.quantities.keys()
    sources, targets = (catalogue.find(name, quantities) for name in (asked.from_unit, asked.to_unit))
    for name, found, others in ((asked.from_unit, sources, targets), (asked.to_unit, targets, sources)):
        if not found:
            close = catalogue.near(name, {unit.quantity for unit in others} or quantities)
            raise CannotConvert(Problem.UNKNOWN_UNIT, "unit", language, close, name=name)
    pairs = ((source, target) for source, target in product(sources, targets) if source.quantity == target.quantity)
    if pair := next(pairs, None):
        return pair
    a, b = (catalogue.quantities[units[0].quantity].names[language] for units in (sources, targets))
    raise CannotConvert(
        Problem.INCOMPATIBLE_UNITS, "incompatible", language, source=asked.from_unit, target=asked.to_unit, a=a, b=b
    )


def _read(text: str, language: Language) -> Fraction:
    stripped = text.strip()
    number = NUMBER.fullmatch(stripped) if len(stripped) <= MAX_TEXT else None
    if number is None:
        raise CannotConvert(Problem.INVALID_VALUE, "number", language)
    if abs(int(number[1] or 0)) > MAX_EXPONENT:
        raise CannotConvert(Problem.INVALID_VALUE, "overflow", language)
    return Fraction(stripped)


def _decimal(value: Fraction, digits: int) -> tuple[str, bool]:
    """Write a fraction with so many significant digits; tell whether that rounded it."""
    context = Context(prec=digits, rounding=ROUND_HALF_EVEN, traps=[])
    quotient = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    shortest = quotient.normalize(context)
    near_one = -7 <= shortest.adjusted() < max(digits, 21)
    return f"{shortest:f}" if near_one else f"{shortest:e}", bool(context.flags[Inexact])
