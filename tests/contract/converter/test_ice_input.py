"""Whatever an Ice client sends to the operations: an answer of the documented kinds on a connection that goes on."""

import math
import struct
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Ice = pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

from services.converter import units  # noqa: E402  after the skip
from services.converter.conversor import ConversorUnidadesPrx, UnidadInvalidaException  # noqa: E402
from services.converter.ice import IceServer  # noqa: E402

OPERATIONS = {
    "convertirTemperatura": "temperatura",
    "convertirLongitud": "longitud",
    "convertirPeso": "peso",
    "convertirVelocidad": "velocidad",
}
names = st.sampled_from([unit for listed in units.UNITS.values() for unit in listed]) | st.text(
    st.characters(codec="utf-8"), max_size=20
)
in_any_order = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def prx():
    server = IceServer("127.0.0.1:0")
    with Ice.initialize() as communicator:
        yield ConversorUnidadesPrx.uncheckedCast(communicator.stringToProxy(server.proxy).ice_invocationTimeout(10_000))
    server._communicator.destroy()


@in_any_order
@given(st.sampled_from(list(OPERATIONS)), st.floats(), names, names)
def test_any_conversion_is_that_of_the_units(prx, operation, value, from_unit, to_unit):
    assert outcome(lambda: getattr(prx, operation)(value, from_unit, to_unit)) == outcome(
        lambda: units.convert(OPERATIONS[operation], value, from_unit, to_unit)
    )


def outcome(convert):
    try:
        value = convert()
    except UnidadInvalidaException as refusal:
        return refusal.mensaje
    except units.UnknownUnit as refusal:
        return str(refusal)
    return "nan" if math.isnan(value) else struct.pack("d", value)


@in_any_order
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_category_is_listed_or_quoted(prx, category):
    if category.lower() in units.UNITS:
        assert prx.unidadesDisponibles(category) == ", ".join(units.units(category))
    else:
        with pytest.raises(UnidadInvalidaException) as error:
            prx.unidadesDisponibles(category)
        assert f"'{category}'" in error.value.mensaje


@in_any_order
@given(st.sampled_from([*OPERATIONS, "unidadesDisponibles", "otra"]), st.binary(max_size=60))
def test_any_bytes_as_parameters_leave_the_connection_as_it_was(prx, operation, parameters):
    connection = prx.ice_getConnection()
    encapsulation = struct.pack("<i", 6 + len(parameters)) + b"\1\1" + parameters
    with suppress(Ice.UnknownException, Ice.UnknownLocalException, Ice.OperationNotExistException):
        prx.ice_invoke(operation, Ice.OperationMode.Normal, encapsulation)
    prx.ice_ping()
    assert prx.ice_getConnection() == connection
