import asyncio
import socket
import struct
from contextlib import suppress

import pytest

Ice = pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

from runtime.health import Health, Probe  # noqa: E402  after the skip
from services.converter.conversor import ConversorUnidadesPrx, UnidadInvalidaException  # noqa: E402
from services.converter.ice import IceClient, IceServer  # noqa: E402

HEADER = struct.Struct("<4s6BI")
VALIDATE_CONNECTION = HEADER.pack(b"IceP", 1, 0, 1, 0, 3, 0, 14)
CLOSE_CONNECTION = 4


@pytest.fixture
async def server():
    server = IceServer("127.0.0.1:0", silence_seconds=2)
    yield server
    await server.close()


@pytest.fixture
async def client(server):
    client = IceClient(server.proxy)
    yield client
    await client.close()


@pytest.fixture
def communicator():
    with Ice.initialize() as communicator:
        yield communicator


@pytest.fixture
def prx(server, communicator):
    return ConversorUnidadesPrx.uncheckedCast(communicator.stringToProxy(server.proxy).ice_invocationTimeout(5000))


def connect(server):
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def invoke(prx, operation, parameters, encoding=b"\1\1"):
    encapsulation = struct.pack("<i", 6 + len(parameters)) + encoding + parameters
    return prx.ice_invoke(operation, Ice.OperationMode.Normal, encapsulation)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def test_every_operation_answers(prx):
    assert prx.convertirTemperatura(100.0, "celsius", "Fahrenheit") == 212.0
    assert prx.convertirLongitud(1.0, "ft", "km") == 0.00030480000000000004
    assert prx.convertirPeso(1.0, "kg", "lb") == 2.2046244201837775
    assert prx.convertirVelocidad(1.0, "kmh", "mph") == 0.6213711922373341
    assert prx.unidadesDisponibles("LONGITUD") == "m, km, mi, ft"


def test_unknown_names_raise_the_documented_exception(prx):
    with pytest.raises(UnidadInvalidaException) as error:
        prx.convertirPeso(1.0, "oz", "kg")
    assert error.value.mensaje == "Unidad origen 'oz' no valida para peso. Validas: g, kg, lb"
    with pytest.raises(UnidadInvalidaException) as error:
        prx.unidadesDisponibles("Volumen")
    assert error.value.mensaje == "Categoria 'Volumen' no existe. Disponibles: temperatura, longitud, peso, velocidad"


def test_text_that_is_not_utf8_gets_an_unknown_exception_and_the_connection_goes_on(prx):
    connection = prx.ice_getConnection()
    for text in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
        with pytest.raises(Ice.UnknownException) as error:
            invoke(prx, "unidadesDisponibles", bytes([len(text)]) + text)
        assert "Traceback" not in error.value.unknown
    assert prx.unidadesDisponibles("peso") == "kg, lb, g"
    assert prx.ice_getCachedConnection() == connection


def test_a_message_above_one_mebibyte_ends_only_its_own_connection(prx, server):
    with connect(server) as other:
        assert other.recv(14, socket.MSG_WAITALL) == VALIDATE_CONNECTION
        other.sendall(HEADER.pack(b"IceP", 1, 0, 1, 0, 0, 0, 1_048_577))
        assert other.recv(1) == b""
    assert len(assert_raises(UnidadInvalidaException, prx.unidadesDisponibles, "x" * 1_000_000).mensaje) > 1_000_000
    assert prx.unidadesDisponibles("peso") == "kg, lb, g"


def assert_raises(expected, call, *arguments):
    with pytest.raises(expected) as error:
        call(*arguments)
    return error.value


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        HEADER.pack(b"IceP", 2, 0, 1, 0, 0, 0, 14),
        HEADER.pack(b"IceP", 1, 0, 1, 0, 9, 0, 14),
        HEADER.pack(b"IceP", 1, 0, 1, 0, 0, 0, 3),
    ],
)
def test_garbage_ends_only_its_own_connection(server, prx, garbage):
    with connect(server) as other:
        assert other.recv(14, socket.MSG_WAITALL) == VALIDATE_CONNECTION
        other.sendall(garbage)
        with suppress(ConnectionResetError):  # what is still unread makes the end a reset
            while other.recv(1024):
                pass
    prx.ice_ping()


def test_a_client_that_stops_halfway_disturbs_nobody(server, prx):
    with connect(server) as other:
        other.sendall(HEADER.pack(b"IceP", 1, 0, 1, 0, 0, 0, 500)[:9])
        for _ in range(10):
            prx.ice_ping()


def test_an_idle_connection_hears_heartbeats(server):
    with connect(server) as idle:
        for _ in range(3):  # the first is the greeting
            assert idle.recv(14, socket.MSG_WAITALL) == VALIDATE_CONNECTION


async def test_closing_says_so_to_clients_and_does_not_wait_for_them_for_ever():
    server = IceServer("127.0.0.1:0")
    with connect(server) as client:
        assert client.recv(14, socket.MSG_WAITALL) == VALIDATE_CONNECTION
        async with asyncio.timeout(10):
            await server.close()
        header = HEADER.unpack(client.recv(14, socket.MSG_WAITALL))
        assert (header[0], header[5]) == (b"IceP", CLOSE_CONNECTION)


def test_a_taken_port_is_an_os_error_in_plain_words(server):
    with pytest.raises(OSError, match=r"^Address already in use$"):
        IceServer(server.address)


def test_an_address_that_makes_no_sense_is_an_os_error():
    with pytest.raises(OSError, match=r"^EndpointParseException$"):
        IceServer("127.0.0.1:99999")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
async def test_a_server_on_every_interface_is_probed_on_loopback(host):
    server = IceServer(f"{host}:0")
    client = IceClient(server.proxy)
    await client.probe()
    await client.close()
    await server.close()


async def test_the_probe_says_why_nothing_answers(client, server):
    await client.probe()
    await server.close()
    with pytest.raises(ConnectionError, match=r"^Connection refused$"):
        await client.probe()


async def test_the_probe_of_a_silent_listener_ends_at_its_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = IceClient(f"ConversorUnidades:tcp -h 127.0.0.1 -p {silent.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(ConnectionError, match=r"TimeoutException$"):
            await client.probe()
        await client.close()


async def test_the_probe_insists_on_the_object_and_its_type(server):
    client = IceClient(server.proxy.replace("ConversorUnidades:", "Otro:"))
    with pytest.raises(ConnectionError, match=r"^ObjectNotExistException$"):
        await client.probe()
    await client.close()


async def test_a_lost_server_is_noticed_by_health_before_the_next_turn(client, server):
    health = Health("converter.v1.ConverterService", [Probe("converter.ice", client.probe, interval_seconds=3600)])
    client.on_lost = lambda: health.probe_now("converter.ice")
    await health.start()
    assert health.serving()
    await server.close()
    await until(lambda: not health.serving("converter.ice"))
    assert not health.serving()
    assert health.serving("liveness")
    await health.close()


async def test_what_the_runtime_says_goes_to_the_log(server, caplog):
    caplog.set_level("INFO")
    logger = server._communicator.getLogger()
    logger.cloneWithPrefix("x").warning("careful")
    logger.error("broken")
    logger.trace("Network", "sent")
    logger._print("plain")
    assert logger.getPrefix() == ""
    assert [(one.levelname, one.message, one.detail) for one in caplog.records] == [
        ("WARNING", "ice warning", "careful"),
        ("ERROR", "ice error", "broken"),
        ("INFO", "ice trace", "sent"),
        ("INFO", "ice", "plain"),
    ]
