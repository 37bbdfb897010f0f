from contextlib import suppress
from fractions import Fraction
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.converter import catalogue
from services.converter.exact import CannotConvert, Conversion, Problem, convert

KNOWN = catalogue.read((resources.files("services.converter") / "quantities.toml").read_text("utf-8"))
UNITS = [unit for quantity in KNOWN.quantities.values() for unit in quantity.units]


def ask(value, from_unit, to_unit, quantity="", digits=15, language="es"):
    return convert(KNOWN, Conversion(value, from_unit, to_unit, quantity, digits), language)


def refused(*asked, **more):
    with pytest.raises(CannotConvert) as error:
        ask(*asked, **more)
    return error.value.problem, str(error.value), error.value.suggestions


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "decimal"),
    [
        ("1", "lb", "kg", "0.45359237"),
        ("98.6", "°F", "°C", "37"),
        ("-40", "celsius", "fahrenheit", "-40"),
        ("100", "km/h", "m/s", "27.7777777777778"),
        ("1", "mi", "km", "1.609344"),
        ("1", "ac", "m²", "4046.8564224"),
        ("1", "gal", "L", "3.785411784"),
        ("1", "UK gal", "L", "4.54609"),
        ("1", "atm", "mmHg", "759.999891725611"),
        ("760", "Torr", "atm", "1"),
        ("1", "kWh", "kcal", "860.420650095602"),
        ("1", "hp", "W", "745.69987158227"),
        ("1", "MiB", "kbit", "8388.608"),
        ("1", "L/100 km", "km/L", "100"),
        ("50", "mpg", "L/100 km", "4.70429166666667"),
        ("1", "rpm", "Hz", "0.0166666666666667"),
        ("1e-30", "m", "km", "1e-33"),
        ("-0", "m", "km", "0"),
        ("10", "nudos", "millas náuticas", None),
    ],
)  # fmt: skip
def test_results_are_exact_and_rounded_once(value, from_unit, to_unit, decimal):
    if decimal is None:
        assert refused(value, from_unit, to_unit)[0] is Problem.INCOMPATIBLE_UNITS
    else:
        assert ask(value, from_unit, to_unit).decimal == decimal


def test_as_many_digits_are_told_as_were_asked_for():
    assert ask("1", "rad", "°", digits=50).decimal == "57.295779513082320876798154814105170332405472466564"
    assert ask("2", "km", "m", digits=1).decimal == "2000"
    assert ask("1234.5", "m", "m", digits=3).decimal == "1230"


def test_an_exact_decimal_says_so():
    assert ask("0.1", "m", "mm").exact
    assert not ask("1", "ft", "mi").exact
    assert not ask("180", "°", "rad").exact
    assert ask("2", "rad", "rad").exact


def test_the_double_is_the_nearest_to_the_exact_result():
    assert ask("0.1", "K", "K").value == 0.1
    assert ask("100", "°C", "°F").value == 212.0


def test_a_temperature_difference_has_no_zero_point():
    assert ask("10", "°C", "°F", quantity="temperature_difference").decimal == "18"
    assert ask("10", "°C", "°F").decimal == "50"


def test_nothing_is_colder_than_absolute_zero():
    assert ask("-273.15", "°C", "K").warning == ""
    assert ask("-273.16", "°C", "K").warning == "Por debajo del cero absoluto"
    assert ask("-1", "K", "°C", language="en").warning == "Below absolute zero"


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("KM", "km"),
        (" km ", "km"),
        ("kilometros", "km"),
        ("Kilómetro", "km"),
        ("nautical miles", "nmi"),
        ("millas náuticas", "nmi"),
        ("feet", "ft"),
        ("INCHES", "in"),
        ("pies", "ft"),
        ("μm", "µm"),
    ],
)
def test_units_answer_to_what_people_call_them(name, symbol):
    assert ask("1", name, "m").from_unit.symbol == symbol


def test_a_name_with_two_meanings_takes_that_of_the_other_unit():
    assert ask("1000", "ms", "s").decimal == "1"
    assert ask("1", "ms", "km/h").decimal == "3.6"
    assert ask("1", "'", "°").from_unit.quantity == "angle"
    assert ask("1", "'", "in").decimal == "12"


def test_case_decides_where_it_has_a_meaning():
    assert ask("1", "MW", "mW").decimal == "1000000000"
    assert ask("8", "Mb", "MB").decimal == "1"
    assert refused("1", "mw", "W") == (Problem.UNKNOWN_UNIT, "Unidad desconocida: mw", ["mW", "MW", "W"])


def test_a_misspelt_unit_is_answered_with_what_was_meant():
    assert refused("1", "kelometro", "m") == (Problem.UNKNOWN_UNIT, "Unidad desconocida: kelometro", ["km"])
    problem, text, suggestions = refused("1", "m", "fahrenhait", language="en", quantity="temperature")
    assert (problem, text) == (Problem.UNKNOWN_UNIT, "Unknown unit: m")
    assert refused("1", "K", "fahrenhait")[2] == ["°F"]
    assert suggestions == []


def test_units_of_different_quantities_do_not_convert():
    assert refused("1", "km", "kg") == (Problem.INCOMPATIBLE_UNITS, "km mide longitud y kg mide masa", [])
    assert refused("1", "oz", "mL", language="en")[1] == "oz measures mass and mL measures volume"


def test_an_unknown_quantity_is_answered_with_what_was_meant():
    assert refused("1", "m", "km", quantity="lenght") == (
        Problem.UNKNOWN_QUANTITY, "Magnitud desconocida: lenght", ["length"],
    )  # fmt: skip


@pytest.mark.parametrize("value", ["", "abc", "1,5", "0x10", "nan", "inf", "1_000", "--1", "1e", "١٢", "9" * 1001])
def test_what_is_not_a_decimal_number_is_refused(value):
    assert refused(value, "m", "km") == (Problem.INVALID_VALUE, "El valor no es un número decimal", [])


@pytest.mark.parametrize("value", ["1e1001", "-1e999999999", "1e309"])
def test_what_no_double_can_hold_is_refused(value):
    assert refused(value, "km", "m") == (Problem.INVALID_VALUE, "El valor está fuera del alcance", [])


def test_zero_has_no_reciprocal():
    assert refused("0", "L/100 km", "mpg", language="en") == (
        Problem.INVALID_VALUE, "0 L/100 km has no reciprocal", [],
    )  # fmt: skip


@pytest.mark.parametrize("digits", [0, 51])
def test_digits_have_their_limits(digits):
    assert refused("1", "m", "km", digits=digits)[0] is Problem.INVALID_VALUE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.quantity}-{unit.symbol}")
def test_every_unit_is_found_by_each_of_its_spellings_and_cites_its_source(unit):
    for spelling in (unit.symbol, *unit.aliases, *unit.names.values()):
        assert KNOWN.find(spelling, [unit.quantity]) == [unit], spelling
    assert unit.source


@given(st.sampled_from(UNITS), st.sampled_from(UNITS), st.fractions(min_value=1, max_value=10**9, max_denominator=1000))
def test_there_and_back_is_the_same_value(one, other, value):
    if one.quantity == other.quantity:
        assert one.from_first(other.to_first(other.from_first(one.to_first(value)))) == value


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_asked_is_answered_or_refused(value, from_unit, to_unit):
    for arguments in ((value, "m", "km"), ("1", from_unit, to_unit), ("1", from_unit, "m")):
        with suppress(CannotConvert):
            Fraction(ask(*arguments).decimal)
