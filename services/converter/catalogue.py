"""The everyday quantities and their units, found by whatever people call them."""

import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Literal

Language = Literal["es", "en"]

LONGEST_NAME = 60  # a longer one resembles nothing and would only cost time

# 120 digits: a rational stand-in whose error shows in no result of 50 digits.
PI = Fraction(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651328230664709384"
)


@dataclass(frozen=True)
class Unit:
    """One unit: a value v of it is (v + offset) * factor of its quantity's first unit, or factor / v if inverse."""

    quantity: str
    symbol: str
    names: Mapping[Language, str]
    aliases: tuple[str, ...]
    factor: Fraction
    offset: Fraction
    inverse: bool
    rational: bool
    source: str

    def to_first(self, value: Fraction) -> Fraction:
        """Express a value of this unit in the first unit of its quantity."""
        return self.factor / value if self.inverse else (value + self.offset) * self.factor

    def from_first(self, value: Fraction) -> Fraction:
        """Express in this unit a value of the first unit."""
        return self.factor / value if self.inverse else value / self.factor - self.offset

    @property
    def plain_factor(self) -> str:
        """The factor as a fraction; empty where the unit is not a plain multiple of the first."""
        plain = self.rational and not self.inverse and not self.offset
        return f"{self.factor.numerator}/{self.factor.denominator}" if plain else ""


@dataclass(frozen=True)
class Quantity:
    """A measurable property; nothing physical is below ``least`` in its first unit."""

    name: str
    names: Mapping[Language, str]
    units: tuple[Unit, ...]
    least: Fraction | None


class Catalogue:
    """Every known quantity and unit.

    Symbols and aliases are matched as written first, then without regard to case, accents and plural; a spelling that
    then fits several units of one quantity, as ``mw`` does, is not known.
    """

    def __init__(self, quantities: Sequence[Quantity]) -> None:
        self.quantities = {quantity.name: quantity for quantity in quantities}
        self._as_written: defaultdict[str, list[Unit]] = defaultdict(list)
        self._loosely: defaultdict[str, list[Unit]] = defaultdict(list)
        for unit in (unit for quantity in quantities for unit in quantity.units):
            for spelling in {unit.symbol, *unit.aliases}:
                self._as_written[spelling].append(unit)
            for spelling in _spellings(unit):
                self._loosely[spelling].append(unit)

    def find(self, name: str, quantities: Collection[str]) -> list[Unit]:
        """Find the units a name may mean, at most one in each of the quantities."""
        found = self._as_written.get(name.strip()) or self._loosely.get(_loose(name), [])
        every = [unit.quantity for unit in found]
        return [unit for unit in found if unit.quantity in quantities and every.count(unit.quantity) == 1]

    def near(self, name: str, quantities: Collection[str]) -> list[str]:
        """Name up to three units of the quantities that resemble what was written, best first."""
        known = {
            spelling: [unit.symbol for unit in units if unit.quantity in quantities]
            for spelling, units in self._loosely.items()
        }
        candidates = [spelling for spelling, symbols in known.items() if symbols]
        close = get_close_matches(_loose(name)[:LONGEST_NAME], candidates, n=5)
        return list(dict.fromkeys(symbol for spelling in close for symbol in known[spelling]))[:3]


def read(text: str) -> Catalogue:
    """Read the catalogue from its TOML text."""
    document = tomllib.loads(text)
    sources = document.pop("sources")
    return Catalogue([_quantity(name, table, sources) for name, table in document.items()])


def _quantity(name: str, table: Mapping[str, Any], sources: Mapping[str, str]) -> Quantity:
    names: Mapping[Language, str] = {"es": table["es"], "en": table["en"]}
    least = Fraction(table["least"]) if "least" in table else None
    return Quantity(name, names, tuple(_unit(name, row, sources) for row in table["units"]), least)


def _unit(quantity: str, row: Mapping[str, Any], sources: Mapping[str, str]) -> Unit:
    numerator, _, denominator = row["factor"].partition("/")
    factor = Fraction(numerator) / (2 * PI if denominator == "2π" else Fraction(denominator or "1"))
    return Unit(
        quantity=quantity,
        symbol=row["symbol"],
        names={"es": row["es"], "en": row["en"]},
        aliases=tuple(row.get("also", ())),
        factor=factor,
        offset=Fraction(row.get("offset", "0")),
        inverse=row.get("inverse", False),
        rational=denominator != "2π",
        source=sources[row["source"]],
    )


def _spellings(unit: Unit) -> set[str]:
    names = [unit.symbol, *unit.aliases, *unit.names.values()]
    return {_loose(spelling) for name in names for spelling in _plurals(name)}


def _plurals(name: str) -> Iterator[str]:
    """Yield a name and its plurals: millas por hora, millas náuticas, nautical miles, miles per hour."""
    words = name.split()
    many = [word + ("s" if word[-1] in "aeiouáéíóúm" else "es") for word in words]
    yield name
    yield " ".join([many[0], *words[1:]])
    yield " ".join(many)
    yield " ".join([f"{words[0]}s", *words[1:]])
    yield f"{name}s"


def _loose(name: str) -> str:
    """Fold case, accents and spaces away."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())
