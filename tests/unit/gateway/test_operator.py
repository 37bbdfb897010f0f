import json
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from flask import Flask, Response

from gateway.app import create_app
from gateway.facades import operator
from gateway.history import History
from gateway.monitor import Picture, Replica, Word
from gateway.overview import Exposed, Overview
from gen.converter.v1 import converter_pb2

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Pictures:
    """A monitor whose pictures a test paints."""

    def __init__(self, *pictures):
        self._pictures = {picture.name: picture for picture in pictures}

    def pictures(self):
        return list(self._pictures.values())

    def picture(self, name):
        return self._pictures[name]

    def judged(self):
        return all(picture.judged for picture in self.pictures())


def replica(**fields):
    return Replica("127.0.0.1:50051", since=MOMENT, **fields)


def serving(**words):
    named = {"": "SERVING", **{name.replace("_", "."): word for name, word in words.items()}}
    words = {name: Word(word, MOMENT) for name, word in named.items()}
    return replica(reachable=True, judged=True, words=words, check_seconds=0.0015)


def facade_of(name):
    app = Flask(name)

    @app.get("/api/status")
    def status():
        return Response('{"down":1.0}', 503, content_type="application/json")

    return app


def client(*pictures, draining=False, listener=("127.0.0.1", 5000), scheme="http", **access):
    history = History()
    exposed = []
    for picture in pictures:
        history.observe(picture)
        name = picture.name
        exposed.append(
            Exposed(
                name,
                f"{name}.v1.Service",
                "the-target",
                scheme,
                listener,
                ["/api/status"],
                facade_of(name),
                lambda _: {"a": "b"},
            )
        )
    overview = Overview(Pictures(*pictures), history, exposed, lambda name: (len(name), 1), "9.9", MOMENT)
    blueprint = operator.create_blueprint(overview, lambda: draining, lambda: iter([7]), **access)
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
    assert [{key: name[key] for key in name if key != "history"} for name in told["health"]] == [
        {"name": "", "status": "NOT_SERVING", "since": "2026-01-02T03:04:05.000Z", "lastError": ""},
        {"name": "thing.part", "status": "NOT_SERVING", "since": "2026-01-02T03:04:05.000Z", "lastError": "refused"},
    ]
    assert [[span["state"] for span in name["history"]] for name in told["health"]] == [
        ["not_serving"],
        ["not_serving"],
    ]
    assert backend["reason"] == "thing.part: refused"
    assert backend["requests"] == {"total": 5, "failed": 1}


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


@pytest.mark.parametrize(
    ("reachable", "serving", "status", "word"),
    [(True, True, 200, "SERVING"), (True, False, 503, "NOT_SERVING"), (False, True, 503, "NOT_SERVING")],
)
def test_a_name_that_only_the_status_document_has_is_answered_too(reachable, serving, status, word):
    document = converter_pb2.ConverterStatus()
    document.health.add(name="thing.disk", serving=serving)
    document.health.add(name="readiness", serving=True)
    one = replica(reachable=reachable, judged=True, words={"": Word("SERVING", MOMENT)}, status=document)
    http = client(Picture("thing", (one,)))
    answer = http.get("/api/services?service=thing.disk")
    assert (answer.status_code, answer.json) == (status, {"service": "thing.disk", "status": word})
    assert http.get("/api/services?service=readiness").status_code == 404  # whose?


def test_a_name_of_an_unreachable_backend_is_not_serving():
    answer = client(Picture("thing", (replica(judged=True),))).get("/api/services?service=thing.v1.Service")
    assert answer.status_code == 503


def test_events_carry_the_same_document():
    http = client(Picture("thing", (serving(),)))
    answer = http.get("/api/events")
    assert answer.content_type == "text/event-stream; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines[:4] == ["retry: 1000", "", "id: 7", "event: services"]
    told, listed = json.loads(lines[4].removeprefix("data: ")), http.get("/api/services").json
    assert told.pop("time") <= listed.pop("time")
    assert told == listed


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


def test_the_document_carries_what_the_facade_itself_answers_to_the_byte():
    (backend,) = client(Picture("thing", (serving(),))).get("/api/services").json["backends"]
    assert backend["answers"] == [
        {"path": "/api/status", "status": 503, "contentType": "application/json", "body": '{"down":1.0}'}
    ]


def test_the_document_carries_commands_that_ask_the_same_by_hand():
    (backend,) = client(Picture("thing", (serving(thing_part="SERVING"),))).get("/api/services").json["backends"]
    commands = [command["command"] for command in backend["commands"]]
    assert "curl -i http://127.0.0.1:5000/api/status" in commands
    assert "grpc_health_probe -addr=127.0.0.1:50051" in commands
    assert "grpc_health_probe -addr=127.0.0.1:50051 -service=thing.part" in commands
    assert "readinessProbe: {grpc: {port: 50051, service: readiness}}" in commands


@pytest.mark.parametrize(
    ("bound", "host", "url"),
    [
        ("127.0.0.1", "console.example", "http://127.0.0.1:5000"),
        ("0.0.0.0", "console.example", "http://console.example:5000"),
        ("0.0.0.0", "console.example:80", "http://console.example:5000"),
        ("::", "[::1]", "http://[::1]:5000"),
        ("::1", "console.example", "http://[::1]:5000"),
    ],
)
def test_a_facade_that_listens_everywhere_is_called_as_the_operator_calls_this_machine(bound, host, url):
    http = client(Picture("thing", (serving(),)), listener=(bound, 5000))
    answer = http.get("/api/services", headers={"Host": host})
    assert answer.json["backends"][0]["url"] == url


def test_a_host_that_is_no_name_reaches_no_command():
    http = client(Picture("thing", (serving(),)), listener=("0.0.0.0", 5000))
    answer = http.get("/api/services", headers={"Host": "$(reboot)"})
    assert answer.json["backends"][0]["url"] == "http://localhost:5000"


def test_a_serving_backend_with_a_part_missing_says_which():
    (backend,) = client(Picture("thing", (serving(thing_part="NOT_SERVING"),))).get("/api/services").json["backends"]
    assert (backend["state"], backend["reason"]) == ("serving", "thing.part: not serving")


def test_a_lost_replica_among_several_is_told_by_its_address():
    lost = Replica("127.0.0.2:50051", since=MOMENT, judged=True, last_error="refused")
    (backend,) = client(Picture("thing", (serving(), lost))).get("/api/services").json["backends"]
    assert (backend["state"], backend["reason"]) == ("serving", "127.0.0.2:50051: refused")


def test_nothing_is_wrong_with_a_backend_nobody_has_judged_yet():
    (backend,) = client(Picture("thing", (replica(),))).get("/api/services").json["backends"]
    assert (backend["state"], backend["reason"]) == ("unknown", "")


def test_version_uptime_and_facts_come_from_the_status_document():
    status = converter_pb2.ConverterStatus(version="1.2", pid=7)
    status.started_at.FromDatetime(MOMENT)
    seen = replica(reachable=True, judged=True, status=status, words={"": Word("SERVING", MOMENT)})
    (backend,) = client(Picture("thing", (seen,))).get("/api/services").json["backends"]
    (told,) = backend["replicas"]
    assert (told["version"], told["pid"], told["facts"]) == ("1.2", 7, {"a": "b"})
    assert told["startedAt"] == "2026-01-02T03:04:05.000Z"


def test_the_console_is_a_page_that_loads_nothing_from_elsewhere_and_runs_nothing_inline():
    http = client()
    page = http.get("/")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'; script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "://" not in page.text
    assert "<script>" not in page.text
    assert "style=" not in page.text


def test_every_file_of_the_console_is_served_and_asked_for_again_only_when_it_changed():
    http = client()
    names = [path.name for path in files("gateway.pages").iterdir() if path.suffix in {".html", ".css", ".js", ".svg"}]
    assert len(names) > 4
    for name in names:
        path = "/" if name == "console.html" else f"/{name}"
        first = http.get(path)
        assert (first.status_code, first.headers["X-Content-Type-Options"]) == (200, "nosniff")
        again = http.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_an_encrypted_facade_is_named_so():
    document = client(Picture("thing", (replica(),)), scheme="https").get("/api/services").json
    assert document["backends"][0]["url"] == "https://127.0.0.1:5000"


@pytest.mark.parametrize("path", ["/api/services", "/api/services?service=thing", "/api/events", "/metrics", "/none"])
def test_with_a_token_only_who_sends_it_is_told_anything(path):
    http = client(Picture("thing", (replica(judged=True),)), token=b"secret")
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "secret"},
        {"Authorization": "Basic secret"},
    ):
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.json) == (401, {"error": "Unauthorized"})
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert http.get(path, headers={"Authorization": "bearer secret"}).status_code != 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/console.js"])
def test_probes_and_the_empty_page_need_no_token(path):
    assert client(Picture("thing", (replica(judged=True),)), token=b"secret").get(path).status_code == 200


def test_metrics_may_be_left_open():
    http = client(Picture("thing", (replica(),)), token=b"secret", open_metrics=True)
    assert (http.get("/metrics").status_code, http.get("/api/services").status_code) == (200, 401)
