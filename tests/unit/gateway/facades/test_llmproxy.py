import re
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.app import create_app
from gateway.errors import BackendError
from gateway.facades.llmproxy import FACADE
from gateway.facades.llmproxy.documents import uptime_words
from gateway.monitor import Picture, Replica, Word
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as pb

KEY = "secret-key"
LOCAL, OTHER = "127.0.0.1", "10.1.2.3"
STATUS_401 = {"error": {"type": "authentication_error", "message": "Invalid or missing API key"}}
STATUS_503 = {"error": {"type": "service_error", "message": "Service temporarily unavailable"}}
AUTH_HEADERS = [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}]


def seconds_ago(seconds):
    now = Timestamp()
    now.GetCurrentTime()
    return Timestamp(seconds=now.seconds - seconds, nanos=now.nanos)


def document(started=5, **fields):
    return pb.LlmProxyStatus(
        version="1.0.0",
        build=pb.Build(version="1.0.0", commit="abc123def", date=Timestamp(seconds=1737100800)),
        pid=12345,
        started_at=seconds_ago(started),
        state=pb.LlmProxyStatus.STATE_READY,
        providers=[
            pb.ProviderStatus(name="anthropic", enabled=True, credential=True, healthy=True),
            pb.ProviderStatus(name="openai", enabled=True, credential=True, healthy=True),
            pb.ProviderStatus(name="off", enabled=False, credential=True, healthy=True),
            pb.ProviderStatus(name="keyless", enabled=True, credential=False, healthy=True),
            pb.ProviderStatus(name="sick", enabled=True, credential=True, healthy=False),
        ],
        **fields,
    )


class FakeBackend:
    """A backend whose picture and answers the test decides."""

    def __init__(self):
        self.stub = SimpleNamespace(CreateMessage="CreateMessage", ListModels="ListModels")
        self.stub.CountTokens = "CountTokens"
        self.replicas = [self.replica(document())]
        self.answers = {}
        self.asked = []
        self.closed = False

    def replica(self, status, word="SERVING"):
        return Replica("a:1", reachable=True, words={"": Word(word, None)}, status=status)

    @property
    def picture(self):
        return Picture("llmproxy", tuple(self.replicas))

    def call(self, method, request, timeout_seconds):
        self.asked.append(request)
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(self, method, request, timeout_seconds):
        self.asked.append(request)
        try:
            for answer in self.answers[method]:
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        finally:
            self.closed = True


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def client(backend):
    def make(peer=LOCAL, **settings):
        settings = GatewaySettings(**settings)
        app = create_app(
            "llmproxy", FACADE.create_blueprint(backend, settings), FACADE.error_response, settings.max_body("llmproxy")
        )
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = peer
        return client

    return make


def message(body=b'{"type":"message"}', status=200, **headers):
    head = pb.Head(status=status, provider="local", model="tiny", headers=headers)
    return pb.CreateMessageResponse(head=head, data=body)


def events():
    head = pb.Head(status=200, provider="local", model="tiny")
    return [
        pb.CreateMessageResponse(head=head, event="message_start", data=b'{"type":"message_start"}'),
        pb.CreateMessageResponse(event="message_stop", data=b'{"type":"message_stop"}'),
    ]


def test_root_has_the_two_documented_keys(client):
    answer = client(OTHER).get("/")
    assert (answer.status_code, answer.json) == (200, {"message": "LLMs API", "version": "1.0.0"})


def test_head_of_root_has_no_body(client):
    answer = client(OTHER).head("/")
    assert (answer.status_code, answer.data) == (200, b"")


def test_status_has_exactly_the_documented_keys(client):
    answer = client().get("/status")
    assert answer.status_code == 200
    assert re.fullmatch(r"0h 0m [5-9]s", answer.json.pop("uptime"))
    assert {key: value for key, value in answer.json.items() if key != "uptime"} == {
        "service": "CCProxy",
        "version": "1.0.0",
        "status": "running",
        "pid": 12345,
        "host": "127.0.0.1",
        "port": 3456,
        "api_key_configured": False,
        "providers": {"count": 5, "active": ["anthropic", "openai"]},
        "build": {"version": "1.0.0", "commit": "abc123def", "date": "2025-01-17T08:00:00Z"},
    }


def test_status_tells_the_documented_listener_and_whether_a_key_is_set(client):
    told = client(llmproxy_key=KEY, llmproxy_host="0.0.0.0", llmproxy_port=1234).get("/status").json
    assert (told["host"], told["port"], told["api_key_configured"]) == ("0.0.0.0", 1234, True)


def test_a_build_date_nobody_knows_is_unknown(client, backend):
    status = document()
    status.build.ClearField("date")
    backend.replicas = [backend.replica(status)]
    assert client().get("/status").json["build"]["date"] == "unknown"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0h 0m 0s"), (5, "0h 0m 5s"), (8130, "2h 15m 30s"), (176587, "49h 3m 7s"), (360000, "100h 0m 0s")],
)
def test_uptime_has_all_three_parts_and_hours_without_a_cap(seconds, words):
    assert uptime_words(seconds) == words


def test_with_several_replicas_the_youngest_shows_a_restart(client, backend):
    young = document(started=3)
    young.pid = 2
    backend.replicas = [backend.replica(document(started=7200)), backend.replica(young)]
    assert client().get("/status").json["pid"] == 2


@pytest.mark.parametrize(
    ("key", "peer", "headers", "expected"),
    [
        ("", LOCAL, {}, 200),
        ("", OTHER, {}, 401),
        ("", OTHER, {"x-api-key": ""}, 401),
        ("", OTHER, {"Authorization": "Bearer "}, 401),
        (KEY, LOCAL, {}, 200),
        (KEY, LOCAL, {"x-api-key": "wrong"}, 200),
        (KEY, OTHER, {}, 401),
        (KEY, OTHER, {"x-api-key": "wrong"}, 401),
        (KEY, OTHER, {"Authorization": f"Basic {KEY}"}, 401),
        (KEY, OTHER, {"X-Forwarded-For": "127.0.0.1"}, 401),
        (KEY, OTHER, {"X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}, 401),
        *((KEY, OTHER, headers, 200) for headers in AUTH_HEADERS),
        (KEY, OTHER, {"Authorization": "Bearer wrong", "x-api-key": KEY}, 200),
        (KEY, OTHER, {"Authorization": f"Bearer {KEY}", "x-api-key": "wrong"}, 200),
        (KEY, "::ffff:127.0.0.1", {}, 200),
        (KEY, "::1", {}, 200),
    ],
)
def test_status_is_for_localhost_or_a_good_key(client, key, peer, headers, expected):
    answer = client(peer, llmproxy_key=key).get("/status", headers=headers)
    assert answer.status_code == expected
    assert (answer.json == STATUS_401) == (expected == 401)


def test_a_trusted_proxy_is_believed_and_its_own_address_is_not_local(client):
    behind = client(OTHER, trusted_proxies="10.0.0.0/8")
    assert behind.get("/status", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
    assert behind.get("/status", headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 401
    assert behind.get("/status").status_code == 401


@pytest.mark.parametrize("replicas", [[], ["NOT_SERVING"]])
def test_a_backend_that_does_not_serve_is_the_exact_503(client, backend, replicas):
    backend.replicas = [backend.replica(document(), word) for word in replicas]
    answer = client().get("/status")
    assert (answer.status_code, answer.json) == (503, STATUS_503)


def test_who_may_not_know_is_told_so_even_while_nothing_serves(client, backend):
    backend.replicas = []
    answer = client(OTHER, llmproxy_key=KEY).get("/status")
    assert (answer.status_code, answer.json) == (401, STATUS_401)


def test_basic_health_says_one_word(client):
    answer = client(OTHER, llmproxy_key=KEY).get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "healthy"})


def activity(total=3, memory_bytes=52428800, average_ms=1.5):
    latency = pb.Latency(average_ms=average_ms, p50_ms=1, p95_ms=2, p99_ms=3)
    return pb.Activity(
        memory_bytes=memory_bytes,
        tasks=7,
        requests_total=total,
        requests_succeeded=total - 1,
        requests_failed=1,
        latency=latency,
    )


def test_detailed_health_has_the_union_of_the_documented_fields(client, backend):
    status = document(
        health=[
            pb.ComponentHealth(name="", serving=True, since=Timestamp(seconds=1)),
            pb.ComponentHealth(name="llmproxy.provider.sick", since=Timestamp(seconds=1), last_error="gone"),
            pb.ComponentHealth(name="readiness", serving=True, since=Timestamp(seconds=1), last_error="old"),
        ],
        activity=activity(),
    )
    backend.replicas = [backend.replica(status)]
    answer = client(OTHER, llmproxy_key=KEY).get("/health", headers={"x-api-key": KEY})
    told = answer.json
    assert (answer.status_code, told["status"], told["state"], told["version"]) == (200, "healthy", "ready", "1.0.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["timestamp"])
    assert 5_000_000_000 <= told["uptime"] < 60_000_000_000
    assert told["config"] == {"host": "127.0.0.1", "port": 3456, "providers": 5, "api_key_configured": True}
    assert told["performance"] == {
        "memory_mb": 50.0,
        "goroutines": 7,
        "requests": {"total": 3, "success": 2, "failed": 1},
        "latency": {"avg_ms": 1.5, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0},
    }
    assert (told["providers"]["healthy"], told["providers"]["total"]) == (4, 5)
    assert told["providers"]["details"]["sick"] == {
        "healthy": False,
        "last_check": None,
        "response_time_ms": 0.0,
        "enabled": True,
    }
    assert told["components"] == {
        "llmproxy.provider.sick": {"state": "error", "last_changed": "1970-01-01T00:00:01Z", "error": "gone"},
        "readiness": {"state": "ready", "last_changed": "1970-01-01T00:00:01Z"},
    }


def test_health_never_asks_the_backend(client, backend):
    assert client().get("/health").status_code == 200
    assert backend.asked == []


def test_health_of_several_replicas_is_their_sum_and_their_worst(client, backend):
    one, other = activity(), activity(total=1, memory_bytes=0, average_ms=5.5)
    other.latency.p99_ms = 9
    backend.replicas = [backend.replica(document(activity=each)) for each in (one, other)]
    told = client().get("/health").json["performance"]
    assert told == {
        "memory_mb": 50.0,
        "goroutines": 14,
        "requests": {"total": 4, "success": 2, "failed": 2},
        "latency": {"avg_ms": 2.5, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 9.0},
    }


def test_health_of_what_does_not_serve_is_unhealthy(client, backend):
    backend.replicas = []
    answer = client().get("/health")
    assert (answer.status_code, set(answer.json), answer.json["status"]) == (503, {"status", "timestamp"}, "unhealthy")


@pytest.mark.parametrize(
    ("key", "peer", "headers", "status", "kind", "code"),
    [
        ("", OTHER, {}, 403, "permission_error", None),
        (KEY, LOCAL, {}, 401, "authentication_error", "missing_api_key"),
        (KEY, LOCAL, {"x-api-key": "wrong"}, 401, "authentication_error", "invalid_api_key"),
        (KEY, OTHER, {"Authorization": "Bearer wrong"}, 401, "authentication_error", "invalid_api_key"),
        (KEY, OTHER, {"Authorization": "Bearer wröng"}, 401, "authentication_error", "invalid_api_key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/none", "/providers"])
def test_who_may_not_call_is_told_in_the_envelope(client, backend, path, key, peer, headers, status, kind, code):
    answer = client(peer, llmproxy_key=key).post(path, data=b"{}", headers=headers)
    error = answer.json["error"]
    assert (answer.status_code, error["type"], error.get("code")) == (status, kind, code)
    assert backend.asked == []
    if path.startswith("/v1/"):
        assert answer.json["type"] == "error"
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("headers", AUTH_HEADERS)
def test_a_good_key_calls_and_is_never_passed_on(client, backend, headers):
    backend.answers["CreateMessage"] = [message()]
    passed = {"anthropic-version": "2026-10-21", "Anthropic-Beta": "a", "x-claude-code-session-id": "s", "Cookie": "c"}
    answer = client(OTHER, llmproxy_key=KEY).post("/v1/messages?beta=true", data=b"{}", headers={**headers, **passed})
    assert answer.status_code == 200
    assert dict(backend.asked[0].headers) == {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a",
        "x-claude-code-session-id": "s",
    }
    assert KEY not in str(backend.asked[0])


def test_a_plain_answer_has_its_headers(client, backend):
    backend.answers["CreateMessage"] = [message()]
    answer = client().post("/v1/messages", data=b'{"model":"m"}')
    assert (answer.status_code, answer.data, answer.content_type) == (200, b'{"type":"message"}', "application/json")
    assert (answer.headers["X-Provider"], answer.headers["X-Model"]) == ("local", "tiny")
    assert answer.headers["X-Request-ID"] == answer.headers["request-id"]
    assert backend.asked[0].body == b'{"model":"m"}'
    assert backend.closed


def test_the_providers_request_id_comes_first(client, backend):
    backend.answers["CreateMessage"] = [message(**{"request-id": "req_7"})]
    answer = client().post("/v1/messages", data=b"{}")
    assert answer.headers["request-id"] == "req_7"
    assert answer.headers["X-Request-ID"] != "req_7"


def test_a_stream_is_server_sent_events_with_names(client, backend):
    backend.answers["CreateMessage"] = events()
    answer = client().post("/v1/messages", data=b"{}")
    assert answer.content_type == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "content-length" not in answer.headers
    assert answer.data == (
        b'event: message_start\ndata: {"type":"message_start"}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_events_that_came_at_once_are_written_in_order(client, backend):
    first, last = events()
    more = [
        pb.CreateMessageResponse.Event(event="ping", data=b"{}"),
        pb.CreateMessageResponse.Event(event="x", data=b"1"),
    ]
    first.more.extend(more)
    backend.answers["CreateMessage"] = [first, last]
    told = client().post("/v1/messages", data=b"{}").data
    assert told.split(b"\n\n")[1:3] == [b"event: ping\ndata: {}", b"event: x\ndata: 1"]


def test_a_client_that_leaves_before_the_first_event_is_written_ends_the_call(client, backend):
    backend.answers["CreateMessage"] = events()
    answer = client().post("/v1/messages", data=b"{}", buffered=False)
    assert not backend.closed
    answer.close()
    assert backend.closed


def test_a_backend_lost_in_mid_stream_is_an_error_event(client, backend):
    backend.answers["CreateMessage"] = [events()[0], BackendError(grpc.StatusCode.UNAVAILABLE, "inner words")]
    answer = client().post("/v1/messages", data=b"{}")
    assert answer.status_code == 200
    assert answer.data.endswith(
        b'event: error\ndata: {"type":"error","error":{"type":"api_error",'
        b'"message":"Service temporarily unavailable"}}\n\n'
    )


@pytest.mark.parametrize("status", [400, 401, 404, 429, 503, 529])
def test_an_error_before_the_first_event_keeps_status_body_and_headers(client, backend, status):
    body = b'{"type":"error", "error":{}}'
    backend.answers["CreateMessage"] = [message(body, status, **{"retry-after": "9"})]
    answer = client().post("/v1/messages", data=b"{}")
    assert (answer.status_code, answer.data, answer.headers["retry-after"]) == (status, body, "9")
    assert (answer.headers.get("x-should-retry") == "false") == (status in (400, 401, 404))


def test_a_backend_that_cannot_be_reached_is_an_overload_to_come_back_from(client, backend):
    backend.answers["CreateMessage"] = [BackendError(grpc.StatusCode.UNAVAILABLE, "10.0.0.1:50053 refused")]
    answer = client().post("/v1/messages", data=b"{}")
    assert (answer.status_code, answer.json["error"]["type"]) == (503, "overloaded_error")
    assert "10.0.0.1" not in answer.text
    assert int(answer.headers["retry-after"]) > 0


def test_a_count_says_when_it_is_estimated(client, backend):
    backend.answers["CountTokens"] = pb.CountTokensResponse(input_tokens=7, estimated=True)
    answer = client().post("/v1/messages/count_tokens?beta=true", data=b"{}")
    assert (answer.json, answer.headers["x-usage-estimated"]) == ({"input_tokens": 7}, "true")
    backend.answers["CountTokens"] = pb.CountTokensResponse(input_tokens=8)
    assert "x-usage-estimated" not in client().post("/v1/messages/count_tokens", data=b"{}").headers


def test_a_count_of_nonsense_is_a_400_in_the_backends_words(client, backend):
    backend.answers["CountTokens"] = BackendError(grpc.StatusCode.INVALID_ARGUMENT, "model: Field required")
    answer = client().post("/v1/messages/count_tokens", data=b"{}")
    assert (answer.status_code, answer.json["error"]["message"]) == (400, "model: Field required")


@pytest.fixture
def models(backend):
    stamp = Timestamp(seconds=60)
    names = ["a", "b/c,d", "e"]
    listed = [pb.Model(id=name, display_name=name, provider="p", created_at=stamp) for name in names]
    backend.answers["ListModels"] = pb.ListModelsResponse(models=listed)


@pytest.mark.usefixtures("models")
def test_the_list_of_models_is_read_by_both_kinds_of_clients(client):
    told = client().get("/v1/models").json
    assert (told["object"], told["has_more"], told["first_id"], told["last_id"]) == ("list", False, "a", "e")
    assert told["data"][0] == {
        "type": "model",
        "id": "a",
        "display_name": "a",
        "created_at": "1970-01-01T00:01:00Z",
        "object": "model",
        "created": 60,
        "owned_by": "p",
    }


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("query", "expected", "more"),
    [
        ("limit=2", ["a", "b/c,d"], True),
        ("limit=1&after_id=a", ["b/c,d"], True),
        ("after_id=b/c,d", ["e"], False),
        ("before_id=e&limit=1", ["b/c,d"], True),
        ("after_id=e", [], False),
    ],
)
def test_the_list_of_models_has_pages(client, query, expected, more):
    told = client().get(f"/v1/models?{query}").json
    assert ([one["id"] for one in told["data"]], told["has_more"]) == (expected, more)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_a_wrong_limit_is_a_400(client, limit):
    answer = client().get(f"/v1/models?limit={limit}")
    assert (answer.status_code, answer.json["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.usefixtures("models")
def test_one_model_is_read_by_its_whole_name(client):
    assert client().get("/v1/models/b/c,d").json["id"] == "b/c,d"
    answer = client().get("/v1/models/none")
    assert (answer.status_code, answer.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("path", ["/none", "/v1/none", "/status/"])
def test_an_unknown_path_is_a_404_in_the_envelope(client, path):
    answer = client().get(path)
    assert (answer.status_code, answer.json["type"], answer.json["error"]["type"]) == (404, "error", "not_found_error")


@pytest.mark.parametrize(("path", "method"), [("/v1/messages", "GET"), ("/status", "POST"), ("/", "DELETE")])
def test_a_wrong_method_is_a_405_that_names_the_right_ones(client, path, method):
    answer = client().open(path, method=method)
    assert (answer.status_code, answer.json["error"]["type"]) == (405, "invalid_request_error")
    assert answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/", "/status", "/v1/messages", "/nowhere"])
def test_any_preflight_is_answered_for_anybody(client, path):
    answer = client(OTHER, llmproxy_key=KEY).options(path)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "x-api-key" in answer.headers["Access-Control-Allow-Headers"]


def test_the_providers_are_not_for_any_page(client):
    assert "Access-Control-Allow-Origin" not in client().get("/providers").headers
    assert client().get("/").headers["Access-Control-Allow-Origin"] == "*"


def test_a_body_above_the_limit_is_refused_before_anything_else_and_tells_the_limit(client, backend):
    answer = client(OTHER, llmproxy_key=KEY, max_body_bytes=100).post("/v1/messages", data=b"x" * 101)
    assert (answer.status_code, answer.json["error"]["type"]) == (413, "request_too_large")
    assert answer.json["limit"] == 100
    assert answer.headers["x-should-retry"] == "false"
    assert backend.asked == []


def status_from(client, peer, path="/status", key=KEY, **settings):
    return client(peer, llmproxy_key=KEY, **settings).get(path, headers={"x-api-key": key} if key else {}).status_code


@pytest.mark.parametrize(
    ("lists", "peer", "status"),
    [
        ({"llmproxy_ip_whitelist": "10.0.0.0/8"}, OTHER, 200),
        ({"llmproxy_ip_whitelist": "10.0.0.0/8"}, "::ffff:10.1.2.3", 200),
        ({"llmproxy_ip_whitelist": "10.0.0.0/8"}, "192.0.2.1", 403),
        ({"llmproxy_ip_whitelist": "10.0.0.0/8"}, "2001:db8::1", 403),
        ({"llmproxy_ip_whitelist": "10.0.0.0/8"}, LOCAL, 200),
        ({"llmproxy_ip_blacklist": "10.1.2.3"}, OTHER, 403),
        ({"llmproxy_ip_blacklist": "10.1.2.3"}, "10.1.2.4", 200),
        ({"llmproxy_ip_whitelist": "10.0.0.0/8", "llmproxy_ip_blacklist": "10.1.0.0/16"}, OTHER, 403),
    ],
)
def test_addresses_are_let_in_or_kept_out_whatever_their_key(client, lists, peer, status):
    assert status_from(client, peer, **lists) == status
    assert status_from(client, peer, "/health", key="", **lists) == 200
    answer = client(peer, llmproxy_key=KEY, **lists).post("/v1/messages", data=b"{}")
    assert answer.json["error"]["type"] == ("authentication_error" if status == 200 else "permission_error")


def test_a_forwarding_header_does_not_pass_the_list_of_addresses(client):
    kept_out = client(OTHER, llmproxy_key=KEY, llmproxy_ip_blacklist="10.1.2.3")
    assert kept_out.get("/status", headers={"x-api-key": KEY, "X-Forwarded-For": "192.0.2.1"}).status_code == 403


def test_only_the_named_sites_may_read_answers(client):
    named = client(llmproxy_cors_origins="https://a.test, https://b.test", llmproxy_cors_headers="x-mine")
    answer = named.get("/", headers={"Origin": "https://b.test"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://b.test"
    assert answer.headers["Vary"] == "Origin"
    assert "x-mine" in answer.headers["Access-Control-Allow-Headers"]
    for headers in ({"Origin": "https://evil.test"}, {}):
        answer = named.get("/", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    answer = client(llmproxy_cors=False).options("/v1/messages", headers={"Origin": "https://a.test"})
    assert answer.status_code == 204
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_answer_that_depends_on_the_site_is_never_one_from_memory():
    assert "origin" in FACADE.snapshot_headers


def test_who_used_the_api_or_was_refused_is_logged_where_wanted_without_the_key(client, caplog):
    caplog.set_level("INFO", "gateway.audit")
    audited = client(OTHER, llmproxy_key=KEY, llmproxy_audit=True)
    audited.get("/status", headers={"x-api-key": KEY})
    audited.get("/providers", headers={"x-api-key": "guess"})
    audited.get("/health")
    client(OTHER, llmproxy_key=KEY).get("/status")
    lines = [vars(record) for record in caplog.records if record.name == "gateway.audit"]
    told = [(line["peer"], line["method"], line["route"], line["status"]) for line in lines]
    assert told == [(OTHER, "GET", "/status", 200), (OTHER, "GET", "/providers", 401)]
    assert KEY not in str(lines)
    assert "guess" not in str(lines)


def test_the_llm_api_may_take_larger_bodies_than_the_others(client, backend):
    backend.answers["CreateMessage"] = [message()]
    large = client(max_body_bytes=100, llmproxy_max_body_bytes=1000)
    assert large.post("/v1/messages", data=b"x" * 101).status_code == 200
    answer = large.post("/v1/messages", data=b"x" * 1001)
    assert (answer.status_code, answer.json["limit"]) == (413, 1000)
