import json
import re
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.app import create_app
from gateway.facades.llmproxy import FACADE
from gateway.facades.llmproxy.board import board_document
from gateway.monitor import Picture, Replica, Word
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as pb

KEY = "secret-key"
LOCAL, OTHER = "127.0.0.1", "10.1.2.3"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
FILES = ["page.css", "page.js", "chart.js", "try.js", "console.css", "dom.js", "parts.js", "theme.js", "icon.svg"]


def basic(password):
    return {"Authorization": f"Basic {b64encode(f'me:{password}'.encode()).decode()}"}


def minute(start, **fields):
    return pb.Minute(start=Timestamp(seconds=start), **fields)


def status(**fields):
    return pb.LlmProxyStatus(version="1", started_at=Timestamp(seconds=100), **fields)


def picture(*statuses, word="SERVING", **fields):
    replicas = [
        Replica(f"a:{number}", reachable=True, judged=True, words={"": Word(word, NOW)}, status=one, **fields)
        for number, one in enumerate(statuses)
    ]
    return Picture("llmproxy", tuple(replicas))


class FakeBackend:
    """A backend of which only the picture is known."""

    stub = None
    picture = picture(status())

    def pictures(self, longest_silence_seconds, shortest_silence_seconds):
        yield self.picture
        yield picture(status(), status())


@pytest.fixture
def get():
    def ask(path, peer=LOCAL, headers=None, **settings):
        settings = GatewaySettings(**settings)
        blueprint = FACADE.create_blueprint(FakeBackend(), settings)
        app = create_app("llmproxy", blueprint, FACADE.error_response, GatewaySettings().max_body_bytes)
        return app.test_client().get(path, headers=headers, environ_base={"REMOTE_ADDR": peer})

    return ask


@pytest.mark.parametrize("path", ["/ui", "/ui/page.js", "/ui/events"])
@pytest.mark.parametrize(
    ("key", "peer", "headers", "expected"),
    [
        ("", LOCAL, {}, 200),
        ("", OTHER, {}, 401),
        (KEY, LOCAL, {}, 200),
        (KEY, OTHER, {}, 401),
        (KEY, OTHER, {"x-api-key": KEY}, 200),
        (KEY, OTHER, basic(KEY), 200),
        (KEY, OTHER, basic("wrong"), 401),
        (KEY, OTHER, {"Authorization": "Basic %%%"}, 401),
    ],
)
def test_the_page_is_for_localhost_or_a_good_key(get, path, key, peer, headers, expected):
    answer = get(path, peer, headers, llmproxy_key=key)
    assert answer.status_code == expected
    if expected == 401:
        assert answer.json["error"]["type"] == "authentication_error"
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_key_beyond_ascii_is_known_in_a_browsers_dialogue_and_in_a_header(get):
    key = "schlüssel?"
    assert get("/ui", OTHER, basic(key), llmproxy_key=key).status_code == 200
    assert get("/ui", OTHER, {"x-api-key": key.encode().decode("latin-1")}, llmproxy_key=key).status_code == 200
    assert get("/ui", OTHER, basic("schl?ssel?"), llmproxy_key=key).status_code == 401


@pytest.mark.parametrize("path", ["/status", "/v1/models", "/providers"])
def test_a_browsers_own_credentials_open_nothing_that_does_or_costs_something(get, path):
    answer = get(path, OTHER, basic(KEY), llmproxy_key=KEY)
    assert answer.status_code == 401
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("name", FILES)
def test_what_the_page_loads_is_there_once_and_not_again(get, name):
    answer = get(f"/ui/{name}")
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert get(f"/ui/{name}", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_the_page_names_only_files_that_are_served(get):
    page = get("/ui")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    named = set(re.findall(r'(?:src|href)="ui/([^"]+)"', page.text))
    for script in (name for name in FILES if name.endswith(".js")):
        named |= set(re.findall(r'from "\./([^"]+)"', get(f"/ui/{script}").text))
    assert named == set(FILES)


def test_with_a_slash_behind_it_the_browser_is_sent_to_where_addresses_fit(get):
    answer = get("/ui/")
    assert (answer.status_code, answer.headers["Location"]) == (308, "../ui")


def test_the_events_are_the_document_whole_each_time(get):
    answer = get("/ui/events")
    assert answer.mimetype == "text/event-stream"
    retry, first, second = answer.text.strip().split("\n\n")
    assert retry == "retry: 1000"
    assert first.startswith("event: board\ndata: ")
    assert json.loads(first.partition("data: ")[2])["replicas"] == {"serving": 1, "all": 1}
    assert json.loads(second.partition("data: ")[2])["replicas"] == {"serving": 2, "all": 2}


def test_a_provider_is_told_in_one_word_and_why():
    health = [
        pb.ComponentHealth(name="llmproxy.provider.sick", last_error="it answers 500"),
        pb.ComponentHealth(name="llmproxy.provider.new", last_error="loading the model"),
        pb.ComponentHealth(name="llmproxy.provider.back", serving=True, last_error="it answered 500"),
    ]
    providers = [
        pb.ProviderStatus(name="sick", enabled=True, credential=True),
        pb.ProviderStatus(name="new", enabled=True, credential=True, healthy=True),
        pb.ProviderStatus(name="back", enabled=True, credential=True, healthy=True, response_time_ms=7.5),
        pb.ProviderStatus(name="off", credential=True, healthy=True),
        pb.ProviderStatus(name="bare", enabled=True, healthy=True),
    ]
    told = board_document(picture(status(health=health, providers=providers)), GatewaySettings())["providers"]
    assert [(one["name"], one["state"], one["reason"]) for one in told] == [
        ("sick", "unhealthy", "it answers 500"),
        ("new", "preparing", "loading the model"),
        ("back", "healthy", ""),
        ("off", "disabled", ""),
        ("bare", "keyless", ""),
    ]
    assert [one["responseMs"] for one in told][2] == 7.5


def test_of_several_replicas_counts_are_sums_and_what_is_wrong_is_told():
    def one(healthy, *minutes, **counts):
        provider = pb.ProviderStatus(name="p", enabled=True, credential=True, healthy=healthy)
        return status(providers=[provider], activity=pb.Activity(minutes=minutes, **counts))

    first = one(
        True,
        minute(60, requests=1, input_tokens=10, output_tokens=1, total_p50_ms=5.04),
        requests_total=3,
        requests_succeeded=1,
        requests_failed=1,
    )
    second = one(
        False,
        minute(60, requests=2, failed=1, input_tokens=10, total_p50_ms=4),
        minute(120, requests=1),
        requests_total=2,
        requests_succeeded=2,
    )
    told = board_document(picture(first, second), GatewaySettings(llmproxy_key=KEY))
    assert told["requests"] == {"total": 5, "failed": 1, "running": 1}
    assert [provider["state"] for provider in told["providers"]] == ["unhealthy"]
    assert [one["start"] for one in told["minutes"]] == ["1970-01-01T00:01:00.000Z", "1970-01-01T00:02:00.000Z"]
    assert {name: told["minutes"][0][name] for name in ("requests", "failed", "input", "output", "medianMs")} == {
        "requests": 3,
        "failed": 1,
        "input": 20,
        "output": 1,
        "medianMs": 5.0,
    }
    assert told["keyNeeded"] is True
    assert KEY not in json.dumps(told)


def test_troubles_that_are_no_providers_are_told_too():
    health = [
        pb.ComponentHealth(name="", last_error="draining"),
        pb.ComponentHealth(name="llmproxy.usage", last_error="disk full"),
        pb.ComponentHealth(name="llmproxy.config", serving=True),
    ]
    told = board_document(picture(status(health=health)), GatewaySettings())
    assert told["troubles"] == [{"name": "llmproxy.usage", "reason": "disk full"}]


def test_a_backend_that_is_gone_is_told_with_the_reason():
    gone = Picture("llmproxy", (Replica("a:1", judged=True, last_error="unavailable: refused"),))
    told = board_document(gone, GatewaySettings())
    assert (told["state"], told["reason"], told["startedAt"]) == ("unreachable", "unavailable: refused", None)
    assert (told["providers"], told["minutes"]) == ([], [])


def test_routes_are_told_in_the_order_of_their_targets():
    routes = [pb.RouteStatus(name="default", targets=["a,m", "b,"])]
    told = board_document(picture(status(routes=routes), status(routes=routes)), GatewaySettings())
    assert told["routes"] == [{"name": "default", "targets": ["a,m", "b,"]}]


def test_the_files_of_the_page_are_in_the_package():
    folder = Path(__file__).parents[4] / "gateway" / "facades" / "llmproxy" / "page"
    assert {one.name for one in folder.iterdir()} == {"index.html", "page.css", "page.js", "chart.js", "try.js"}
