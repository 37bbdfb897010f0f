"""Conversions through the REST façade and through a real Ice client, by the real processes."""

import struct

import pytest

CONVERSIONS = [
    ("temperatura", "Temperatura", 100, "celsius", "fahrenheit", 212.0),
    ("longitud", "Longitud", 1, "ft", "km", 0.00030480000000000004),
    ("peso", "Peso", 1, "kg", "lb", 2.2046244201837775),
    ("velocidad", "Velocidad", 1, "ms", "kmh", 3.5999999999999996),
]


@pytest.fixture(scope="module")
def prx(system):
    Ice = pytest.importorskip("Ice", reason="no Ice runtime for this Python")  # noqa: N806  the package's name
    Ice.loadSlice(str(_slice()))
    import Conversor

    with Ice.initialize(["--Ice.Default.InvocationTimeout=5000"]) as communicator:
        text = f"ConversorUnidades:default -h 127.0.0.1 -p {system.ports['ice']}"
        yield Conversor.ConversorUnidadesPrx.checkedCast(communicator.stringToProxy(text))


def _slice():
    from importlib.resources import files

    return files("gen.converter.v1") / "conversor.ice"


@pytest.mark.parametrize(("category", "_", "value", "source", "target", "wanted"), CONVERSIONS)
def test_rest_converts_each_category(system, category, _, value, source, target, wanted):
    document = {"categoria": category, "valor": value, "desde": source, "hasta": target}
    assert system.post("converter", "/api/convert", document) == (200, {"resultado": wanted})


@pytest.mark.parametrize(("_", "operation", "value", "source", "target", "wanted"), CONVERSIONS)
def test_an_ice_client_converts_each_category(prx, _, operation, value, source, target, wanted):
    result = getattr(prx, f"convertir{operation}")(value, source, target)
    assert struct.pack(">d", result) == struct.pack(">d", wanted)


def test_an_unknown_unit_is_told_in_the_documented_words(system, prx):
    document = {"categoria": "peso", "valor": 1, "desde": "oz", "hasta": "kg"}
    message = "Unidad origen 'oz' no valida para peso. Validas: g, kg, lb"
    assert system.post("converter", "/api/convert", document) == (400, {"error": f"Unidad inválida: {message}"})
    with pytest.raises(Exception, match="oz") as failure:
        prx.convertirPeso(1, "oz", "kg")
    assert failure.value.mensaje == message
