import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def ask(rest, document, headers=()):
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return rest.send("POST", "/api/v1/convert", {"Content-Type": "application/json", **dict(headers)}, raw)


def test_one_exact_conversion_is_answered_whole(rest):
    answer = ask(rest, {"value": "98.6", "from": "fahrenheit", "to": "°C"})
    assert answer.status == 200
    assert answer.json() == {
        "value": 37.0,
        "decimal": "37",
        "exact": True,
        "quantity": "temperature",
        "from": "°F",
        "to": "°C",
    }


def test_no_digit_of_a_json_number_is_lost(rest):
    answer = ask(rest, b'{"value": 0.1000000000000000000000001, "from": "m", "to": "mm", "digits": 30}')
    assert answer.json()["decimal"] == "100.0000000000000000000001"


def test_many_conversions_have_each_their_own_outcome(rest):
    answer = ask(
        rest,
        {
            "language": "en",
            "conversions": [
                {"value": 1, "from": "lb", "to": "kg"},
                {"value": 1, "from": "kelometre", "to": "m"},
                {"value": -1, "from": "K", "to": "°C"},
            ],
        },
    )
    assert answer.status == 200
    pound, misspelt, cold = answer.json()["results"]
    assert pound["decimal"] == "0.45359237"
    assert misspelt["error"] == "Unknown unit: kelometre"
    assert misspelt["code"] == "unknown_unit"
    assert misspelt["suggestions"][0] == "km"
    assert cold["warning"] == "Below absolute zero"


@pytest.mark.parametrize(
    ("document", "code", "text"),
    [
        ({"value": 1, "from": "x", "to": "km"}, "unknown_unit", "Unidad desconocida: x"),
        ({"value": 1, "from": "kg", "to": "km"}, "incompatible_units", "kg mide masa y km mide longitud"),
        ({"value": "uno", "from": "m", "to": "km"}, "invalid_value", "El valor no es un número decimal"),
        (b'{"value": NaN, "from": "m", "to": "km"}', "invalid_value", "El valor no es un número decimal"),
        ({"from": "m", "to": "km"}, "invalid_value", "El valor no es un número decimal"),
        (
            {"value": 1, "from": "m", "to": "km", "quantity": "mas"},
            "unknown_quantity",
            "Magnitud desconocida: mas",
        ),
        ({"value": 1, "from": None, "to": "km"}, "invalid_request", "from: se espera un texto o un número"),
        ({"value": 1, "digits": 0}, "invalid_request", "digits: se espera un número entero positivo"),
        ({"conversions": {}}, "invalid_request", "conversions: se espera una lista de 1024 como máximo"),
        ({"conversions": [{}] * 1025}, "invalid_request", "conversions: se espera una lista de 1024 como máximo"),
        ({"conversions": [1]}, "invalid_request", "conversions: se espera una lista de objetos"),
        ({"language": "fr"}, "invalid_request", "language: se espera es o en"),
    ],
)
def test_a_refusal_says_what_is_wrong_for_people_and_machines(rest, document, code, text):
    answer = ask(rest, document)
    assert answer.status == 400
    assert (answer.json()["error"], answer.json()["code"]) == (text, code)


def test_the_language_is_also_taken_from_the_browser(rest):
    answer = ask(rest, {"value": 1, "from": "x", "to": "km"}, {"Accept-Language": "en-GB,en;q=0.8,es;q=0.5"})
    assert answer.json()["error"] == "Unknown unit: x"


def test_units_are_listed_with_names_factor_and_source(rest):
    answer = rest.send("GET", "/api/v1/units?quantity=mass")
    assert answer.status == 200
    (mass,) = answer.json()["quantities"]
    assert mass["names"] == {"es": "masa", "en": "mass"}
    assert {
        "symbol": "lb",
        "names": {"es": "libra", "en": "pound"},
        "aliases": ["lbs"],
        "factor": "45359237/100000000",
        "source": "International yard and pound agreement, 1959",
    } in mass["units"]
    assert len(rest.send("GET", "/api/v1/units").json()["quantities"]) > 10


def test_units_of_an_unknown_quantity_are_refused(rest):
    answer = rest.send("GET", "/api/v1/units?quantity=%C3%B1")
    assert (answer.status, answer.json()) == (400, {"error": "Magnitud desconocida: ñ", "code": "unknown_quantity"})


def test_exact_routes_answer_503_while_nothing_serves(rest):
    rest.connect(connected=False)
    for answer in (ask(rest, {"value": 1, "from": "m", "to": "km"}), rest.send("GET", "/api/v1/units")):
        assert (answer.status, answer.json()) == (503, {"error": "Servidor ICE desconectado"})


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())
conversions = st.dictionaries(st.sampled_from(["value", "from", "to", "quantity", "digits", "language"]), values)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversions | st.fixed_dictionaries({"conversions": values | st.lists(conversions | values, max_size=3)}))
def test_whatever_is_asked_is_answered_or_refused(rest, document):
    answer = ask(rest, document)
    assert answer.status in {200, 400}
    assert isinstance(answer.json(), dict)
    assert answer.status == 200 or isinstance(answer.json()["error"], str)
