import pytest

pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

from services.converter.conversor import UnidadInvalidaException
from services.converter.servant import ConversorServant

SERVANT = ConversorServant()


@pytest.mark.parametrize(
    ("operation", "arguments", "result"),
    [
        ("convertirTemperatura", (100.0, "celsius", "Fahrenheit"), 212.0),
        ("convertirLongitud", (1.0, "ft", "km"), 0.00030480000000000004),
        ("convertirPeso", (1.0, "kg", "lb"), 2.2046244201837775),
        ("convertirVelocidad", (1.0, "kmh", "mph"), 0.6213711922373341),
        ("unidadesDisponibles", ("LONGITUD",), "m, km, mi, ft"),
    ],
)
def test_each_operation_answers(operation, arguments, result):
    assert getattr(SERVANT, operation)(*arguments, None) == result


@pytest.mark.parametrize(
    ("operation", "arguments", "text"),
    [
        ("convertirPeso", (1.0, "kg", "oz"), "Unidad destino 'oz' no valida para peso. Validas: g, kg, lb"),
        (
            "unidadesDisponibles",
            ("Peso ",),
            "Categoria 'Peso ' no existe. Disponibles: temperatura, longitud, peso, velocidad",
        ),
    ],
)
def test_what_is_unknown_is_the_exception_of_the_contract(operation, arguments, text):
    with pytest.raises(UnidadInvalidaException) as error:
        getattr(SERVANT, operation)(*arguments, None)
    assert error.value.mensaje == text
