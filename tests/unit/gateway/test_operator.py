import json
from datetime import UTC, datetime

import pytest

from gateway.app import create_app
from gateway.facades import operator
from gateway.monitor import Picture, Replica, Word
from gen.converter.v1 import converter_pb2

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Pictures:
    """A monitor whose pictures a test paints."""

    def __init__(self, *pictures):
        self._pictures = {picture.name: picture for picture in pictures}

    def pictures(self):
        return list(self._pictures.values())

    def judged(self):
        return all(picture.judged for picture in self.pictures())


def replica(**fields):
    return Replica("127.0.0.1:50051", since=MOMENT, **fields)


def serving(**words):
    named = {"": "SERVING", **{name.replace("_", "."): word for name, word in words.items()}}
    words = {name: Word(word, MOMENT) for name, word in named.items()}
    return replica(reachable=True, judged=True, words=words, check_seconds=0.0015)


def client(*pictures, draining=False):
    services = {picture.name: f"{picture.name}.v1.Service" for picture in pictures}
    blueprint = operator.create_blueprint(Pictures(*pictures), services, lambda: draining, lambda: iter([7]))
    return create_app("operator", blueprint, operator.error_response, 1000).test_client()


def test_the_gateway_lives_whatever_its_backends_do():
    answer = client(Picture("thing", (replica(judged=True),))).get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_it_is_not_ready_before_the_first_verdict_on_every_backend():
    answer = client(Picture("thing", (serving(),)), Picture("other", (replica(),))).get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"status": "starting", "backends": {"thing": "serving", "other": "unknown"}}


def test_it_is_ready_once_every_verdict_is_known_whatever_it_is():
    answer = client(Picture("thing", (replica(judged=True),))).get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "backends": {"thing": "unreachable"}})


def test_it_is_not_ready_while_draining():
    answer = client(Picture("thing", (serving(),)), draining=True).get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "draining")


def test_services_tell_each_name_with_its_last_word_and_the_reason_of_the_status_document():
    status = converter_pb2.ConverterStatus()
    part = status.health.add(name="thing.part", serving=False, last_error="refused")
    part.since.FromDatetime(MOMENT)
    seen = replica(
        reachable=True,
        judged=True,
        status=status,
        words={"": Word("NOT_SERVING", MOMENT), "thing.part": Word("NOT_SERVING", MOMENT)},
        check_seconds=0.0015,
    )
    answer = client(Picture("thing", (seen,))).get("/api/services")
    assert answer.status_code == 200
    (backend,) = answer.json["backends"]
    assert backend["state"] == "not_serving"
    (told,) = backend["replicas"]
    assert (told["checkMs"], told["since"]) == (1.5, "2026-01-02T03:04:05.000Z")
    assert told["health"] == [
        {"name": "", "status": "NOT_SERVING", "since": "2026-01-02T03:04:05.000Z", "lastError": ""},
        {"name": "thing.part", "status": "NOT_SERVING", "since": "2026-01-02T03:04:05.000Z", "lastError": "refused"},
    ]


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("thing.v1.Service", 200, "SERVING"),
        ("thing", 200, "SERVING"),
        ("thing.part", 503, "NOT_SERVING"),
        ("nobody", 404, "SERVICE_UNKNOWN"),
        ("", 404, "SERVICE_UNKNOWN"),
    ],
)
def test_one_name_is_answered_as_grpc_gateway_does(name, status, word):
    answer = client(Picture("thing", (serving(thing_part="NOT_SERVING"),))).get(f"/api/services?service={name}")
    assert (answer.status_code, answer.json) == (status, {"service": name, "status": word})


def test_a_name_of_an_unreachable_backend_is_not_serving():
    answer = client(Picture("thing", (replica(judged=True),))).get("/api/services?service=thing.v1.Service")
    assert answer.status_code == 503


def test_events_carry_the_same_document():
    http = client(Picture("thing", (serving(),)))
    lines = http.get("/api/events").text.splitlines()
    assert lines[:2] == ["id: 7", "event: services"]
    assert json.loads(lines[2].removeprefix("data: ")) == http.get("/api/services").json


def test_metrics_are_exposed():
    answer = client().get("/metrics")
    assert answer.status_code == 200
    assert "python_info" in answer.text


def test_an_unknown_path_and_a_wrong_method_are_told_in_json():
    http = client()
    assert (http.get("/nothing").status_code, http.get("/nothing").json) == (404, {"error": "Not Found"})
    answer = http.post("/healthz")
    assert (answer.status_code, answer.json) == (405, {"error": "Method Not Allowed"})
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
