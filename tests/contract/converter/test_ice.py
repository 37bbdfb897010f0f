"""Every recorded Ice invocation gets its recorded result from a real client over TCP."""

import gzip
import json
import math
import re
import struct
from pathlib import Path

import pytest

Ice = pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

from services.converter.conversor import ConversorUnidadesPrx, UnidadInvalidaException  # noqa: E402  after the skip
from services.converter.ice import IceServer  # noqa: E402

RECORDED = Path(__file__).parent / "data" / "ice.jsonl.gz"
RECORDS = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]
KINDS = {
    "::Ice::UnknownLocalException": Ice.UnknownLocalException,
    "::Ice::ConnectionLostException": Ice.ConnectionLostException,
    "::Ice::ObjectNotExistException": Ice.ObjectNotExistException,
    "::Ice::OperationNotExistException": Ice.OperationNotExistException,
    "TwowayOnlyException": Ice.TwowayOnlyException,
}


@pytest.fixture(scope="module")
def endpoint():
    server = IceServer("127.0.0.1:0")
    with Ice.initialize() as communicator:
        host, _, port = server.address.rpartition(":")
        yield communicator, f"tcp -h {host} -p {port}"
    server._communicator.destroy()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record['group']}-{record['id']}")
def test_a_recorded_invocation_is_answered_alike(record, endpoint):
    communicator, where = endpoint
    identity = record["target"].partition(":")[0]
    prx = communicator.stringToProxy(f"{identity}:{where}").ice_invocationTimeout(10_000)
    expected = record["result"]
    if "local_exception" in expected:
        with pytest.raises(KINDS[expected["local_exception"]]) as error:
            call(prx, record)
        if "operation" in expected:
            told = {"name": error.value.id.name, "category": error.value.id.category}
            assert (told, error.value.facet, error.value.operation) == (
                expected["id"],
                expected["facet"],
                expected["operation"],
            )
    elif "user_exception" in expected:
        with pytest.raises(UnidadInvalidaException) as error:
            call(prx, record)
        assert error.value.ice_id() == expected["user_exception"]
        assert error.value.mensaje == expected["mensaje"]
    else:
        result = call(prx, record)
        if expected.get("type") == "double":
            assert same_double(result, bytes.fromhex(expected["ieee754_be_hex"]))
        elif "encapsulation_hex" in expected:
            assert result == (expected["ok"], bytes.fromhex(expected["encapsulation_hex"]))
        else:
            assert result == expected["value"]


def call(prx, record):
    if record["group"].startswith("wire.invoke") or record["group"] == "wire.identity":
        raw = record["args"][0]
        mode = getattr(Ice.OperationMode, raw["mode"])
        return prx.ice_invoke(record["op"], mode, bytes.fromhex(raw["encapsulation_hex"]))
    if record["group"] == "wire.facet":
        return ConversorUnidadesPrx.checkedCast(prx, "otra")
    if record["group"] == "oneway":
        return ConversorUnidadesPrx.uncheckedCast(prx.ice_oneway()).convertirTemperatura(1.0, "celsius", "kelvin")
    if record["group"] == "context":
        prx = prx.ice_compress(True)
    return getattr(ConversorUnidadesPrx.uncheckedCast(prx), record["op"])(*map(argument, record["args"]))


def argument(told):
    if "double" in told:
        return struct.unpack(">d", bytes.fromhex(told["ieee754_be_hex"]))[0]
    if repeated := re.fullmatch(r"(.) \* (\d+)", told["string"]):
        return repeated[1] * int(repeated[2])
    return told["string"]


def same_double(value, recorded):
    if math.isnan(struct.unpack(">d", recorded)[0]):
        return math.isnan(value)
    return struct.pack(">d", value) == recorded
