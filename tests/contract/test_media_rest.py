"""The media server's REST as its documentation fixes it, over what a media process may say of itself."""

import json
import time
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from flask.testing import FlaskClient
from google.protobuf.struct_pb2 import Struct

from gateway.app import create_app
from gateway.errors import BackendError
from gateway.facades.media import BUNDLED_PAGE, FACADE
from gateway.facades.media.placement import public_id
from gateway.monitor import Picture, Replica, Word
from gateway.settings import GatewaySettings
from gen.media.v1 import media_pb2 as pb

SEED_HEALTH = {"status": "ok", "product": "icey", "service": "icey-server", "version": "0.1.1"}
CONSTANTS = {"product": "icey", "service": "icey-server"}
PASS, WARN, FAIL = pb.Check.RESULT_PASS, pb.Check.RESULT_WARN, pb.Check.RESULT_FAIL
TOLD = ("config", "openssl", "ffmpeg", "source", "turn", "intelligence", "source_live", "media_worker")
DOCUMENTED_ORDER = [
    "config", "openssl", "ffmpeg", "web_root", "ports", "source", "tls", "turn", "intelligence",
    "source_live", "media_worker", "signalling",
]  # fmt: skip
OFFER = b"v=0\r\n"
FRAGMENT = b"a=ice-ufrag:abcd\r\na=ice-pwd:x\r\n"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
SESSION = f"/session/{public_id('abc', 'a:1')}"
METHODS = [("/whep", "View", pb.ViewRequest), ("/whip", "Publish", pb.PublishRequest)]


def document(**changes):
    status = pb.MediaStatus(
        version="9.9.9",
        pid=1,
        state=pb.MediaStatus.STATE_RUNNING,
        mode=pb.MODE_STREAM,
        peer=pb.Peer(id="server", name="Icey Server", type="server"),
        sessions=pb.Sessions(active=2, total=15, peak=3, failed=1),
        preflight=pb.Preflight(checks=[pb.Check(name=name, result=PASS, detail=f"{name} is well") for name in TOLD]),
        source=pb.Source(value="rtsp://camera.local/stream1", kind="rtsp", remote=True),
        loop=False,
        record_dir="./recordings",
        turn=pb.Turn(enabled=True, host="203.0.113.50", port=3478, external_ip="203.0.113.50", local_relay=True),
        config=pb.ConfigFile(path="config.json", exists=True, valid=True),
        intelligence=pb.Intelligence(vision_enabled=True, speech_enabled=True),
    )
    status.started_at.FromNanoseconds(int((time.time() - 3600.5) * 1e9))
    status.MergeFrom(pb.MediaStatus(**changes))
    return status


class Process:
    """A media process that says what a test wants; reached by the façade as a backend is."""

    stub = type("Stub", (), {name: name for name in ("GetConfig", "Publish", "View", "AddCandidates", "Close")})

    def __init__(self):
        self.sockets = 0
        self.replicas = [self.replica(document())]
        self.asked = []
        self.error = None

    @property
    def picture(self):
        return Picture("media", tuple(self.replicas))

    @staticmethod
    def replica(status, *, serving=True):
        word = Word("SERVING" if serving else "NOT_SERVING", None)
        return Replica("a:1", reachable=True, judged=True, words={"": word}, status=status)

    def gone(self):
        self.replicas = [Replica("a:1", judged=True)]
        self.error = BackendError(grpc.StatusCode.UNAVAILABLE, "internal words")

    def call_at(self, address, method, request, timeout_seconds):
        assert address == "a:1"
        return self.call(method, request, timeout_seconds)

    def call(self, method, request, timeout_seconds):
        assert 0 < timeout_seconds < 30
        self.asked.append((method, request))
        if self.error:
            raise self.error
        return {
            "GetConfig": pb.GetConfigResponse(
                turn=self.replicas[0].status.turn if self.replicas[0].status else None,
                turn_username="icey",
                turn_credential="icey",
                stun_urls=["stun:stun.l.google.com:19302"],
            ),
            "Publish": pb.PublishResponse(session_id="abc", answer_sdp="v=0\r\nanswer"),
            "View": pb.ViewResponse(session_id="abc", answer_sdp="v=0\r\nanswer"),
            "AddCandidates": pb.AddCandidatesResponse(),
            "Close": pb.CloseResponse(),
        }[method]


@pytest.fixture
def process():
    return Process()


class Client(FlaskClient):
    """Reads every answer to its end, as a server does, so that files are closed."""

    def open(self, *arguments, **options):
        return super().open(*arguments, buffered=True, **options)


def client(process, **settings):
    told = GatewaySettings(host="0.0.0.0", **settings)
    app = create_app("media", FACADE.create_blueprint(process, told), FACADE.error_response, 10**6)
    app.test_client_class = Client
    return app.test_client()


@pytest.fixture
def web(process):
    return client(process)


def typed(value):
    """Replace every leaf by its type, so that documents can be compared by shape."""
    if isinstance(value, dict):
        return {key: typed(one) for key, one in value.items()}
    return type(value).__name__


READY_SHAPE = {
    "status": "str", "ready": "bool", "product": "str", "service": "str", "mode": "str", "checks": "list",
    "warnings": "list", "version": "str", "uptimeSec": "int", "runtime": {"state": "str"},
    "source": {"value": "str", "kind": "str", "remote": "bool"},
    "http": {"host": "str", "port": "int", "scheme": "str", "tls": "bool"},
    "turn": {"enabled": "bool", "host": "str", "port": "int", "externalIp": "str", "localRelay": "bool"},
    "tls": {"configured": "bool", "enabled": "bool", "certFile": "str"},
    "web": {"root": "str"},
    "config": {"path": "str", "exists": "bool", "valid": "bool"},
}  # fmt: skip
STATUS_SHAPE = READY_SHAPE | {
    "peer": {"id": "str", "name": "str", "type": "str"},
    "sessions": {"active": "int", "total": "int", "peak": "int", "failed": "int"},
    "recordings": {"active": "int", "written": "int"},
    "peers": {"connected": "int"},
    "stream": {"source": "str", "sourceKind": "str", "loop": "bool"},
    "record": {"dir": "str"},
    "intelligence": {"vision": "bool", "speech": "bool"},
    "host": "str", "port": "int",
    "intelligenceDetail": {
        "ready": "bool",
        "vision": {"enabled": "bool", "active": "bool"},
        "speech": {"enabled": "bool", "active": "bool"},
    },
    "relay": {"sourcePeer": "str", "viewers": "int", "streams": "list"},
}  # fmt: skip


def test_health_has_exactly_the_four_documented_keys(web):
    answer = web.get("/api/health")
    assert answer.status_code == 200
    assert answer.json.keys() == SEED_HEALTH.keys()
    assert answer.json | {"version": "0.1.1"} == SEED_HEALTH


def test_health_does_not_look_at_anything_but_whether_the_process_answers(web, process):
    process.replicas = [process.replica(document(), serving=False)]
    assert web.get("/api/health").status_code == 200


def test_ready_reports_in_documented_order_and_shape(web):
    answer = web.get("/api/ready")
    assert answer.status_code == 200
    assert typed(answer.json) == READY_SHAPE
    assert answer.json | CONSTANTS == answer.json
    assert (answer.json["status"], answer.json["ready"], answer.json["mode"]) == ("ok", True, "stream")
    assert [one["name"] for one in answer.json["checks"]] == DOCUMENTED_ORDER
    assert {one["result"] for one in answer.json["checks"]} == {"pass"}
    assert answer.json["uptimeSec"] == 3600


def test_ready_is_degraded_by_the_process_warnings_and_still_200(web, process):
    warning = "TURN externalIp is unset; remote NAT traversal may fail outside local or host-network testing."
    process.replicas = [process.replica(document(preflight=pb.Preflight(warnings=[warning], degraded=True)))]
    answer = web.get("/api/ready")
    assert (answer.status_code, answer.json["status"], answer.json["ready"]) == (200, "degraded", True)
    assert answer.json["warnings"] == [warning]


def test_a_failed_check_makes_ready_503_with_the_whole_report_and_status_stays_200(web, process):
    status = document()
    status.preflight.checks[3].result = FAIL
    status.preflight.checks[3].detail = "Local media source not found: a.mp4"
    process.replicas = [process.replica(status, serving=False)]
    answer = web.get("/api/ready")
    assert (answer.status_code, answer.json["status"], answer.json["ready"]) == (503, "error", False)
    assert typed(answer.json) == READY_SHAPE
    assert {"name": "source", "result": "fail", "detail": "Local media source not found: a.mp4"} in answer.json[
        "checks"
    ]
    answer = web.get("/api/status")
    assert (answer.status_code, answer.json["ready"]) == (200, False)


def test_a_process_that_drains_is_not_ready_and_says_so(web, process):
    process.replicas = [process.replica(document(state=pb.MediaStatus.STATE_DRAINING), serving=False)]
    answer = web.get("/api/ready")
    assert (answer.status_code, answer.json["runtime"]) == (503, {"state": "draining"})
    failed = [one for one in answer.json["checks"] if one["result"] == "fail"]
    assert [one["name"] for one in failed] == ["media_worker"]
    assert "draining" in failed[0]["detail"]


def test_status_has_the_seeds_values_and_the_later_blocks(web):
    answer = web.get("/api/status")
    assert answer.status_code == 200
    assert typed(answer.json) == STATUS_SHAPE
    assert answer.json["peer"] == {"id": "server", "name": "Icey Server", "type": "server"}
    assert answer.json["runtime"] == {"state": "running"}
    assert answer.json["sessions"] == {"active": 2, "total": 15, "peak": 3, "failed": 1}
    assert answer.json["stream"] == {"source": "rtsp://camera.local/stream1", "sourceKind": "rtsp", "loop": False}
    assert answer.json["record"] == {"dir": "./recordings"}
    assert answer.json["intelligence"] == {"vision": True, "speech": True}
    assert answer.json["turn"] == {
        "enabled": True, "host": "203.0.113.50", "port": 3478, "externalIp": "203.0.113.50", "localRelay": True,
    }  # fmt: skip
    assert (answer.json["host"], answer.json["port"]) == ("0.0.0.0", 4500)
    assert answer.json["http"] == {"host": "0.0.0.0", "port": 4500, "scheme": "http", "tls": False}


def test_intelligence_may_be_told_as_counters(web, process):
    detail = Struct()
    detail.update({"seen": 5})
    intelligence = pb.Intelligence(as_object=True, vision_detail=detail, vision_active=True)
    process.replicas = [process.replica(document(intelligence=intelligence))]
    told = web.get("/api/status").json
    assert told["intelligence"] == told["intelligenceDetail"]
    assert told["intelligence"]["vision"] == {"seen": 5, "enabled": True, "active": True}


def test_an_invalid_configuration_says_why(web, process):
    broken = pb.ConfigFile(path="config.json", exists=True, error="line 3 column 1")
    status = document()
    status.config.CopyFrom(broken)
    process.replicas = [process.replica(status)]
    assert web.get("/api/ready").json["config"] == {
        "path": "config.json", "exists": True, "valid": False, "error": "line 3 column 1",
    }  # fmt: skip


def test_config_has_what_a_browser_needs(web):
    answer = web.get("/api/config")
    assert answer.status_code == 200
    assert answer.json == CONSTANTS | {
        "status": "ok",
        "mode": "stream",
        "version": answer.json["version"],
        "http": {"host": "0.0.0.0", "scheme": "http", "tls": False},
        "turn": {
            "enabled": True, "host": "203.0.113.50", "port": 3478,
            "username": "icey", "credential": "icey", "ttlSec": 0,
        },
        "stun": {"urls": ["stun:stun.l.google.com:19302"]},
        "source": {"value": "rtsp://camera.local/stream1", "kind": "rtsp", "remote": True},
        "peer": {"id": "server", "name": "Icey Server", "type": "server"},
    }  # fmt: skip


def test_replicas_are_told_as_one(web, process):
    young = document()
    young.started_at.FromNanoseconds(int((time.time() - 10.5) * 1e9))
    process.replicas = [process.replica(document(), serving=False), process.replica(young)]
    told = web.get("/api/status").json
    assert (told["sessions"]["active"], told["sessions"]["total"], told["uptimeSec"]) == (4, 30, 10)
    assert told["ready"]


def test_the_relayed_streams_of_every_replica_are_told(web, process):
    first, second = document(), document()
    stage = pb.Relay.Stream(name="stage", source_peer="abc", waiting_peers=["def"], viewers=2)
    first.relay.CopyFrom(pb.Relay(source_peer="abc", viewers=2, streams=[stage]))
    second.relay.CopyFrom(pb.Relay(viewers=1, streams=[pb.Relay.Stream(name="hall", viewers=1)]))
    process.replicas = [process.replica(first), process.replica(second)]
    assert web.get("/api/status").json["relay"] == {
        "sourcePeer": "abc",
        "viewers": 3,
        "streams": [
            {"name": "stage", "publisher": "abc", "waiting": ["def"], "viewers": 2},
            {"name": "hall", "publisher": "", "waiting": [], "viewers": 1},
        ],
    }


def test_an_unreachable_process_has_the_documented_answers(web, process):
    process.gone()
    health, ready, status, config = (web.get(f"/api/{name}") for name in ("health", "ready", "status", "config"))
    assert (health.status_code, health.json) == (503, {"status": "error", "error": "unavailable"})
    assert (config.status_code, config.json) == (503, {"status": "error", "error": "unavailable"})
    assert ready.status_code == status.status_code == 503
    assert typed(ready.json) == READY_SHAPE
    assert typed(status.json) == STATUS_SHAPE
    for told in (ready.json, status.json):
        assert (told["status"], told["ready"]) == ("error", False)
        assert [(one["name"], one["result"]) for one in told["checks"]] == [("media_worker", "fail")]
        assert told["runtime"] == {"state": "unreachable"}


def test_ports_that_collide_are_a_failed_check_only_while_turn_is_on(process):
    web = client(process, media_port=3478)
    answer = web.get("/api/ready")
    assert answer.status_code == 503
    failed = [one for one in answer.json["checks"] if one["result"] == "fail"]
    assert failed == [{"name": "ports", "result": "fail", "detail": "HTTP/WS port and TURN port must not be the same"}]
    status = document()
    status.turn.enabled = False
    process.replicas = [process.replica(status)]
    assert web.get("/api/ready").status_code == 200


def test_the_listener_and_the_page_are_checked_where_they_are(process, tmp_path):
    web = client(process, media_port=4711, media_web_root=str(tmp_path))
    checks = {one["name"]: one for one in web.get("/api/ready").json["checks"]}
    assert checks["ports"]["detail"] == "HTTP/WS on 4711, TURN on 3478"
    assert checks["web_root"] == {
        "name": "web_root", "result": "fail", "detail": f"Missing bundled web UI at {tmp_path}/index.html",
    }  # fmt: skip
    (tmp_path / "index.html").write_text("hello")
    told = web.get("/api/ready").json
    assert {"name": "web_root", "result": "pass", "detail": f"Found bundled web UI at {tmp_path}/index.html"} in told[
        "checks"
    ]
    assert told["web"] == {"root": tmp_path.name}
    assert web.get("/").text == "hello"


WAYS = [
    {"headers": {"Authorization": "Bearer secret"}},
    {"headers": {"Authorization": "bearer secret"}},
    {"headers": {"X-Icey-Token": "secret"}},
    {"query_string": {"token": "secret"}},
    {"headers": {"Authorization": "Bearer wrong", "X-Icey-Token": "secret"}},
    {"headers": {"Authorization": "Basic secret", "X-Icey-Token": "wrong"}, "query_string": {"token": "secret"}},
]
PROTECTED = ["/api/ready", "/api/status", "/api/config", "/api/none"]


@pytest.mark.parametrize("way", WAYS)
def test_the_token_is_taken_in_each_documented_way(process, way):
    web = client(process, media_token="secret")
    assert web.get("/api/status", **way).status_code == 200
    assert web.get("/api/none", **way).status_code == 404


@pytest.mark.parametrize("way", [{}, {"headers": {"Authorization": "Bearer wrong"}}, {"query_string": {"token": ""}}])
def test_without_the_token_everything_but_health_and_page_is_closed(process, way):
    web = client(process, media_token="secret")
    for path in PROTECTED:
        answer = web.get(path, **way)
        assert (answer.status_code, answer.json) == (401, {"status": "error", "error": "unauthorized"})
    answer = web.get("/artifacts/a.mp4", **way)
    assert (answer.status_code, answer.data) == (401, b"")
    for path in ("/whep", "/whip", "/whip/garden"):
        answer = web.post(path, data=OFFER, content_type="application/sdp", **way)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert web.patch(SESSION, data=FRAGMENT, content_type=FRAGMENT_TYPE, **way).status_code == 401
    assert web.delete(SESSION, **way).status_code == 401
    assert process.asked == []
    assert web.get("/api/health", **way).status_code == 200
    assert web.get("/", **way).status_code == 200


def test_a_query_does_not_change_the_route(web):
    assert web.get("/api/health?x=1").status_code == 200
    assert web.get("/api/ready?x=1").status_code == 200


@pytest.mark.parametrize("path", ["/api/none", "/api/health/", "/api/", "/api/status/x"])
def test_an_unknown_api_path_is_a_404_in_json(web, path):
    answer = web.get(path)
    assert (answer.status_code, answer.json) == (404, {"status": "error", "error": "not_found"})


@pytest.mark.parametrize("name", ["health", "ready", "status", "config"])
def test_reports_are_for_get_and_head(web, name):
    answer = web.post(f"/api/{name}")
    assert (answer.status_code, answer.json) == (405, {"status": "error", "error": "method_not_allowed"})
    assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))
    answer = web.head(f"/api/{name}")
    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize("path", ["/none.html", "/a/b", "/%2e%2e/settings.py", "/../settings.py"])
def test_what_is_not_on_the_page_has_an_empty_body(web, path):
    answer = web.get(path)
    assert answer.status_code in (403, 404)
    assert answer.data == b""


def test_leaving_the_web_root_is_forbidden(web):
    assert web.get("/x/../../settings.py").status_code == 403


@pytest.mark.parametrize("name", sorted(one.name for one in BUNDLED_PAGE.iterdir()))
def test_the_page_is_served_whole_with_etag_and_policy(web, name):
    answer = web.get(f"/{name}")
    assert (answer.status_code, answer.data) == (200, (BUNDLED_PAGE / name).read_bytes())
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert web.get(f"/{name}", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    part = web.get(f"/{name}", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.data)) == (206, 10)


def test_the_page_uses_nothing_from_elsewhere():
    for file in BUNDLED_PAGE.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


def test_every_answer_forbids_sniffing_and_reports_forbid_storing(web):
    for path in ("/api/health", "/api/status", "/api/none", "/", "/none"):
        assert web.get(path).headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/api/health", "/api/status", "/api/none"):
        assert web.get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("path", "method", "message"), METHODS)
def test_an_offer_is_answered_with_201_and_the_place_of_the_session(web, process, path, method, message):
    answer = web.post(path, data=OFFER, content_type="application/sdp")
    assert (answer.status_code, answer.data) == (201, b"v=0\r\nanswer")
    assert answer.headers["Content-Type"] == "application/sdp"
    assert answer.headers["Location"] == SESSION
    assert process.asked[-1] == (method, message(offer_sdp="v=0\r\n"))


@pytest.mark.parametrize(("path", "method", "message"), METHODS)
def test_a_stream_is_named_in_the_path_and_a_prefix_stays(web, process, path, method, message):
    answer = web.post(f"{path}/garden", data=OFFER, content_type="application/sdp", base_url="http://x/media")
    assert answer.headers["Location"] == f"/media{SESSION}"
    assert process.asked[-1] == (method, message(stream="garden", offer_sdp="v=0\r\n"))


LOGIN = 'username="icey"; credential="icey"; credential-type="password"'
STUN = '<stun:stun.l.google.com:19302>; rel="ice-server"'


@pytest.mark.parametrize(
    ("enabled", "host", "told"),
    [
        (True, "203.0.113.50", "203.0.113.50:3478"),
        (True, "0.0.0.0", "play.example:3478"),
        (True, "2001:db8::1", "[2001:db8::1]:3478"),
        (False, "203.0.113.50", None),
    ],
)
def test_an_answer_names_the_servers_that_help_through_nat(web, process, enabled, host, told):
    turn = pb.Turn(enabled=enabled, host=host, port=3478)
    status = document()
    status.turn.CopyFrom(turn)
    process.replicas = [process.replica(status)]
    answer = web.post("/whep", data=OFFER, content_type="application/sdp", headers={"Host": "play.example:4500"})
    relays = [f'<turn:{told}?transport={way}>; rel="ice-server"; {LOGIN}' for way in ("udp", "tcp") if told]
    assert answer.headers.getlist("Link") == [STUN, *relays]


def test_candidates_are_taken_later(web, process):
    answer = web.patch(SESSION, data=FRAGMENT, content_type=FRAGMENT_TYPE)
    assert (answer.status_code, answer.data) == (204, b"")
    asked = pb.AddCandidatesRequest(session_id="abc", sdp_fragment=FRAGMENT.decode())
    assert process.asked == [("AddCandidates", asked)]


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, 422, "restart_unsupported"),
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "bad_request"),
        (grpc.StatusCode.NOT_FOUND, 404, "not_found"),
        (grpc.StatusCode.UNAVAILABLE, 503, "unavailable"),
    ],
)
def test_a_refused_fragment_has_the_fitting_status(web, process, code, status, error):
    process.error = BackendError(code, "internal words")
    answer = web.patch(SESSION, data=FRAGMENT, content_type=FRAGMENT_TYPE, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json) == (status, {"status": "error", "error": error})


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"content_type": "application/sdp"}, 415),
        ({"content_type": FRAGMENT_TYPE, "headers": {"If-Match": '"x"'}}, 412),
        ({"content_type": FRAGMENT_TYPE, "data": b"x" * 16_385}, 413),
        ({"content_type": FRAGMENT_TYPE, "data": b"\xff\xfe"}, 400),
    ],
)
def test_a_fragment_of_the_wrong_kind_never_reaches_the_media_process(web, process, how, status):
    answer = web.patch(SESSION, **{"data": FRAGMENT} | how)
    assert (answer.status_code, answer.json["status"]) == (status, "error")
    assert process.asked == []
    assert status != 415 or answer.headers["Accept-Patch"] == FRAGMENT_TYPE


def test_a_session_is_deleted_where_it_was_said_to_be(web, process):
    assert web.delete(SESSION).status_code == 200
    assert process.asked == [("Close", pb.CloseRequest(session_id="abc"))]


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "bad_request"),
        (grpc.StatusCode.NOT_FOUND, 404, "not_found"),
        (grpc.StatusCode.UNIMPLEMENTED, 406, "not_acceptable"),
        (grpc.StatusCode.FAILED_PRECONDITION, 409, "conflict"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503, "unavailable"),
        (grpc.StatusCode.ABORTED, 503, "unavailable"),
        (grpc.StatusCode.UNAVAILABLE, 503, "unavailable"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "timeout"),
        (grpc.StatusCode.INTERNAL, 500, "internal"),
    ],
)
def test_a_refused_offer_has_the_fitting_status_and_no_inner_words(web, process, code, status, error):
    process.error = BackendError(code, "internal words")
    answer = web.post("/whep", data=OFFER, content_type="application/sdp")
    assert (answer.status_code, answer.json) == (status, {"status": "error", "error": error})
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"data": OFFER, "content_type": "application/json"}, 415),
        ({"data": OFFER}, 415),
        ({"data": OFFER, "content_type": "application/sdp", "headers": {"Accept": "text/html"}}, 406),
        ({"data": b"x" * 65_537, "content_type": "application/sdp"}, 413),
        ({"data": b"\xff\xfe", "content_type": "application/sdp"}, 400),
    ],
)
def test_an_offer_of_the_wrong_kind_never_reaches_the_media_process(web, process, how, status):
    answer = web.post("/whep", **how)
    assert answer.status_code == status
    assert answer.json["status"] == "error"
    assert process.asked == []
    assert status != 415 or answer.headers["Accept-Post"] == "application/sdp"


@pytest.mark.parametrize("accept", ["application/sdp", "*/*", "application/*;q=0.5, text/html"])
def test_an_answer_that_is_accepted_is_given(web, accept):
    answer = web.post("/whep", data=OFFER, content_type="application/sdp", headers={"Accept": accept})
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["/whep", "/whip", "/whip/garden", SESSION])
def test_other_methods_are_told_what_is_allowed(web, path):
    of_session = path.startswith("/session/")
    allowed = {"DELETE", "OPTIONS", "PATCH"} if of_session else {"OPTIONS", "POST"}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
        answer = web.open(path, method=method)
        assert (answer.status_code, answer.json["error"]) == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed
    answer = web.options(path)
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (204, allowed)
    name, told = ("Accept-Patch", FRAGMENT_TYPE) if of_session else ("Accept-Post", "application/sdp")
    assert answer.headers[name] == told


def test_pages_of_other_sites_may_play_only_by_token(process):
    how = {"data": OFFER, "content_type": "application/sdp", "headers": {"X-Icey-Token": "secret"}}
    closed, opened = client(process), client(process, media_token="secret")
    assert "Access-Control-Allow-Origin" not in closed.post("/whep", **how).headers
    assert "Access-Control-Allow-Headers" not in closed.options("/whep").headers
    answer = opened.post("/whep", **how)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    asked_before = opened.options("/whep")
    assert asked_before.status_code == 204
    assert "Authorization" in asked_before.headers["Access-Control-Allow-Headers"]


def test_only_answers_that_depend_on_nothing_else_are_remembered():
    assert FACADE.snapshot_paths == {"/api/health", "/api/ready", "/api/status"}
    assert FACADE.snapshot_headers == {"authorization", "x-icey-token"}


def test_the_seed_document_is_followed_key_by_key(web):
    """Each JSON example of the seed has no key that ours lacks."""
    seed = json.loads((Path(__file__).parent / "data" / "media_seed.json").read_text())
    for name, example in seed.items():
        told = web.get(f"/api/{name}").json
        missing = {key for key in flat(example) if key not in flat(told)}
        assert missing == set(), name


def flat(value, prefix=""):
    if not isinstance(value, dict):
        return {prefix}
    return set().union(*(flat(one, f"{prefix}.{key}") for key, one in value.items()))


def test_a_replica_that_says_nothing_yet_is_not_told(web, process):
    process.replicas = [replace(process.replicas[0], status=None)]
    assert web.get("/api/status").status_code == 503
