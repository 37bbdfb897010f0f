import math

import pytest

from services.converter import units


@pytest.mark.parametrize(
    ("category", "value", "from_unit", "to_unit", "result"),
    [
        ("peso", 1.0, "kg", "lb", 2.2046244201837775),
        ("peso", 1.0, "lb", "g", 453.592),
        ("velocidad", 1.0, "kmh", "mph", 0.6213711922373341),
        ("velocidad", 1.0, "mph", "kmh", 1.6093439999999999),
        ("velocidad", 1.0, "ms", "kmh", 3.5999999999999996),
        ("longitud", 1.0, "ft", "km", 0.00030480000000000004),
        ("temperatura", 1.0, "fahrenheit", "celsius", -17.22222222222222),
        ("temperatura", 1.0, "kelvin", "fahrenheit", -457.87),
        ("temperatura", 100.0, "celsius", "fahrenheit", 212.0),
        ("temperatura", 0.1, "kelvin", "kelvin", 0.10000000000002274),
        ("temperatura", -500.0, "celsius", "kelvin", -226.85000000000002),
    ],
)
def test_results_have_the_documented_bits(category, value, from_unit, to_unit, result):
    assert units.convert(category, value, from_unit, to_unit) == result


def test_the_sign_of_zero_survives():
    assert math.copysign(1, units.convert("longitud", -0.0, "m", "ft")) == -1


def test_overflow_and_nan_pass_through_by_ieee_rules():
    assert units.convert("temperatura", 1e308, "celsius", "fahrenheit") == math.inf
    assert units.convert("peso", -math.inf, "kg", "g") == -math.inf
    assert math.isnan(units.convert("velocidad", math.nan, "kmh", "kmh"))


def test_names_are_lower_cased_by_unicode_rules():
    assert units.convert("TEMPERATURA", 0, "\N{KELVIN SIGN}elvin", "Celsius") == -273.15


def test_a_dotted_capital_i_is_not_an_i():
    with pytest.raises(units.UnknownUnit, match="Unidad origen 'mi̇' no valida"):
        units.convert("longitud", 1, "Mİ", "m")


@pytest.mark.parametrize(
    ("category", "from_unit", "to_unit", "text"),
    [
        ("longitud", "YD", "m", "Unidad origen 'yd' no valida para longitud. Validas: ft, km, m, mi"),
        ("peso", "kg", "oz", "Unidad destino 'oz' no valida para peso. Validas: g, kg, lb"),
        (
            "Velocidad",
            " MS",
            "",
            (
                "Unidad origen ' ms' no valida para velocidad. Unidad destino '' no valida para velocidad. "
                "Validas: kmh, mph, ms"
            ),
        ),
    ],
)
def test_an_unknown_unit_is_named_with_the_valid_ones(category, from_unit, to_unit, text):
    with pytest.raises(units.UnknownUnit) as error:
        units.convert(category, 1, from_unit, to_unit)
    assert str(error.value) == text


@pytest.mark.parametrize("category", ["Volumen", "peso ", "", "temperatura\0"])
def test_an_unknown_category_is_quoted_as_received(category):
    text = f"Categoria '{category}' no existe. Disponibles: temperatura, longitud, peso, velocidad"
    for ask in (lambda: units.units(category), lambda: units.convert(category, 1, "kg", "g")):
        with pytest.raises(units.UnknownCategory) as error:
            ask()
        assert str(error.value) == text


def test_units_come_in_documented_order():
    assert [units.units(category) for category in ("temperatura", "LONGITUD", "Peso", "velocidad")] == [
        ("celsius", "fahrenheit", "kelvin"),
        ("m", "km", "mi", "ft"),
        ("kg", "lb", "g"),
        ("kmh", "mph", "ms"),
    ]
