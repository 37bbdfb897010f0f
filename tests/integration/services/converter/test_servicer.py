import asyncio
from datetime import UTC, datetime
from importlib import resources

import grpc
import pytest

from gen.converter.v1 import converter_pb2 as pb
from gen.converter.v1 import converter_pb2_grpc
from runtime.health import Health
from runtime.status import StatusFeed
from services.converter import catalogue, status
from services.converter.embedded import Embedded
from services.converter.servicer import MAX_BATCH, ConverterServicer

KNOWN = catalogue.read((resources.files("services.converter") / "quantities.toml").read_text("utf-8"))
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def health():
    health = Health("converter.v1.ConverterService")
    health.set(status.ICE, serving=True, required=True)
    await health.start()
    yield health
    await health.close()


@pytest.fixture
async def stub(health):
    feed = StatusFeed(
        lambda: status.document(health, version="1.2.3", started_at=STARTED, ice_address="127.0.0.1:10000")
    )
    health.on_change(feed.changed)
    server = grpc.aio.server()
    converter_pb2_grpc.add_ConverterServiceServicer_to_server(ConverterServicer(Embedded(), KNOWN, feed), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield converter_pb2_grpc.ConverterServiceStub(channel)
    feed.close()
    await server.stop(None)


def conversion(category="peso", value=1.0, from_unit="kg", to_unit="lb"):
    return pb.ConvertRequest(category=category, value=value, from_unit=from_unit, to_unit=to_unit)


async def test_convert_answers_the_value(stub):
    assert (await stub.Convert(conversion(), timeout=5)).value == 2.2046244201837775


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (
            conversion(category="Volumen"),
            grpc.StatusCode.NOT_FOUND,
            "Categoria 'Volumen' no existe. Disponibles: temperatura, longitud, peso, velocidad",
        ),
        (
            conversion(to_unit="ñ"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Unidad destino 'ñ' no valida para peso. Validas: g, kg, lb",
        ),
    ],
)
async def test_convert_tells_what_is_unknown(stub, request_, code, details):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Convert(request_, timeout=5)
    assert (failure.value.code(), failure.value.details()) == (code, details)


async def test_every_item_of_a_batch_has_its_own_outcome_in_order(stub):
    answer = await stub.ConvertBatch(
        pb.ConvertBatchRequest(
            conversions=[conversion(), conversion(category="x"), conversion(from_unit="oz"), conversion(value=2.0)]
        ),
        timeout=5,
    )
    good, no_category, no_unit, double = answer.outcomes
    assert (good.value, double.value) == (2.2046244201837775, 2 * 2.2046244201837775)
    assert no_category.error.reason == pb.ConvertError.REASON_UNKNOWN_CATEGORY
    assert no_category.error.message.startswith("Categoria 'x' no existe.")
    assert no_unit.error.reason == pb.ConvertError.REASON_UNKNOWN_UNIT
    assert no_unit.error.message == "Unidad origen 'oz' no valida para peso. Validas: g, kg, lb"


async def test_a_text_too_long_for_a_status_comes_back_whole_in_a_batch(stub):
    unit = "x" * 100_000
    answer = await stub.ConvertBatch(pb.ConvertBatchRequest(conversions=[conversion(from_unit=unit)]), timeout=5)
    assert answer.outcomes[0].error.message == f"Unidad origen '{unit}' no valida para peso. Validas: g, kg, lb"


async def test_a_batch_of_more_than_the_limit_is_refused(stub):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ConvertBatch(pb.ConvertBatchRequest(conversions=[conversion()] * (MAX_BATCH + 1)), timeout=5)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_units_are_listed_in_documented_order(stub):
    assert list((await stub.ListUnits(pb.ListUnitsRequest(category="Longitud"), timeout=5)).units) == [
        "m",
        "km",
        "mi",
        "ft",
    ]


async def test_listing_an_unknown_category_is_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ListUnits(pb.ListUnitsRequest(category="Peso "), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert failure.value.details() == "Categoria 'Peso ' no existe. Disponibles: temperatura, longitud, peso, velocidad"


async def test_the_status_document_describes_this_process(stub, health):
    answer = (await stub.GetStatus(pb.GetStatusRequest(), timeout=5)).status
    assert (answer.version, answer.started_at.ToDatetime(UTC)) == ("1.2.3", STARTED)
    assert (answer.ice.mode, answer.ice.address) == (pb.IceStatus.MODE_EMBEDDED, "127.0.0.1:10000")
    assert answer.ice.connected
    assert [(one.name, one.serving) for one in answer.health] == [
        ("", True),
        ("converter.ice", True),
        ("converter.v1.ConverterService", True),
        ("liveness", True),
        ("readiness", True),
    ]


async def test_watching_the_status_tells_that_ice_is_gone_and_why(stub, health):
    watching = aiter(stub.WatchStatus(pb.WatchStatusRequest(), timeout=10))
    assert (await anext(watching)).status.ice.connected
    health.set(status.ICE, serving=False, error="Connection refused")
    async with asyncio.timeout(5):
        document = (await anext(watching)).status
    assert not document.ice.connected
    assert {one.name: one.last_error for one in document.health}["converter.ice"] == "Connection refused"


async def test_exact_conversions_have_each_their_own_outcome_in_the_asked_language(stub):
    answer = await stub.ConvertExact(
        pb.ConvertExactRequest(
            language="en",
            conversions=[
                pb.ExactConversion(value="-300", from_unit="celsius", to_unit="K", significant_digits=3),
                pb.ExactConversion(value="1", from_unit="kelometre", to_unit="m"),
                pb.ExactConversion(value="1", from_unit="m", to_unit="kg"),
                pb.ExactConversion(value="x", from_unit="m", to_unit="km"),
                pb.ExactConversion(value="1", from_unit="m", to_unit="km", quantity="x"),
            ],
        ),
        timeout=5,
    )
    good, *bad = answer.outcomes
    assert good.value == pb.ExactValue(
        value=-26.85,
        decimal="-26.8",
        exact=False,
        quantity="temperature",
        from_unit="°C",
        to_unit="K",
        warning="Below absolute zero",
    )
    assert [one.error.reason for one in bad] == [
        pb.ConvertError.REASON_UNKNOWN_UNIT,
        pb.ConvertError.REASON_INCOMPATIBLE_UNITS,
        pb.ConvertError.REASON_INVALID_VALUE,
        pb.ConvertError.REASON_UNKNOWN_CATEGORY,
    ]
    assert (bad[0].error.message, bad[0].error.suggestions[0]) == ("Unknown unit: kelometre", "km")


async def test_exact_conversions_speak_spanish_or_english_only(stub):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ConvertExact(pb.ConvertExactRequest(language="fr"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_exact_units_are_listed_with_factor_and_source(stub):
    everything = (await stub.ListExactUnits(pb.ListExactUnitsRequest(), timeout=5)).quantities
    assert [quantity.name for quantity in everything] == list(KNOWN.quantities)
    (mass,) = (await stub.ListExactUnits(pb.ListExactUnitsRequest(quantity="mass"), timeout=5)).quantities
    assert (mass.name_es, mass.name_en) == ("masa", "mass")
    pound = next(unit for unit in mass.units if unit.symbol == "lb")
    assert (pound.factor, pound.source) == ("45359237/100000000", "International yard and pound agreement, 1959")
    celsius = next(unit for quantity in everything for unit in quantity.units if unit.symbol == "°C")
    assert celsius.factor == ""


async def test_units_of_an_unknown_quantity_are_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ListExactUnits(pb.ListExactUnitsRequest(quantity="x"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
