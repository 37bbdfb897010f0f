from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.app import create_app
from gateway.errors import BackendError
from gateway.facades.llmproxy import FACADE
from gateway.facades.llmproxy.accounts import spending
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as pb

KEY = "secret-key"
LOCAL, OTHER = "127.0.0.1", "10.1.2.3"


class FakeBackend:
    """Replicas whose answers the test decides."""

    def __init__(self):
        self.answers = {"a:1": pb.GetUsageResponse(store_id="one")}
        self.asked = []
        self.statuses = []

    @property
    def picture(self):
        return SimpleNamespace(statuses=lambda: self.statuses)

    def call_each(self, method, request, timeout_seconds):
        self.asked.append((method, request))
        return self.answers


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def get(backend):
    def ask(path, peer=LOCAL, headers=None, **settings):
        settings = GatewaySettings(**settings)
        app = create_app(
            "llmproxy",
            FACADE.create_blueprint(backend, settings),
            FACADE.error_response,
            settings.max_body(FACADE.name),
        )
        return app.test_client().get(path, headers=headers, environ_base={"REMOTE_ADDR": peer})

    return ask


def row(requests, day="2026-11-22", provider="openai"):
    sums = pb.UsageSums(
        requests=requests, failed=1, input_tokens=10, output_tokens=5, answered=1, first_byte_ms=100, total_ms=300
    )
    return pb.UsageRow(day=day, provider=provider, sums=sums)


def usage(store, *rows, **fields):
    total = pb.UsageSums(requests=sum(one.sums.requests for one in rows), answered=1, first_byte_ms=80, total_ms=400)
    return pb.GetUsageResponse(store_id=store, rows=rows, total=total, **fields)


@pytest.mark.parametrize("path", ["/usage", "/usage/requests"])
@pytest.mark.parametrize(
    ("key", "peer", "headers", "expected"),
    [
        ("", LOCAL, {}, 200),
        ("", OTHER, {}, 401),
        (KEY, LOCAL, {}, 200),
        (KEY, OTHER, {}, 401),
        (KEY, OTHER, {"x-api-key": "wrong"}, 401),
        (KEY, OTHER, {"x-api-key": KEY}, 200),
        (KEY, OTHER, {"X-Forwarded-For": LOCAL}, 401),
    ],
)
def test_usage_is_for_localhost_or_a_good_key(get, backend, path, key, peer, headers, expected):
    backend.answers = {"a:1": (pb.ListRequestsResponse if "requests" in path else pb.GetUsageResponse)()}
    answer = get(path, peer, headers, llmproxy_key=key)
    assert answer.status_code == expected
    assert answer.json.get("error", {}).get("type") == (None if expected == 200 else "authentication_error")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_without_parameters_it_is_the_sum_of_the_last_thirty_days(get, backend):
    backend.answers = {"a:1": usage("one", row(4))}
    told = get("/usage").json
    today = datetime.now(UTC).date()
    assert told == {
        "from": (today - timedelta(days=29)).isoformat(),
        "to": today.isoformat(),
        "totals": {
            "requests": 4,
            "failed": 0,
            "input_tokens": 0,
            "output_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "estimated_requests": 0,
            "retries": 0,
            "fallbacks": 0,
            "average_first_byte_ms": 80.0,
            "average_total_ms": 100.0,
        },
        "truncated": False,
    }
    ((method, asked),) = backend.asked
    assert (method, list(asked.by)) == ("GetUsage", [])


def test_replicas_are_added_up_and_those_of_one_store_count_once(get, backend):
    backend.answers = {
        "a:1": usage("one", row(1), row(2, provider="local")),
        "b:1": usage("two", row(10), row(20, "2026-11-23")),
        "c:1": usage("two", row(10), row(20, "2026-11-23")),
    }
    told = get("/usage?by=day,provider").json
    assert told["by"] == ["day", "provider"]
    assert [(one["day"], one["provider"], one["requests"], one["input_tokens"]) for one in told["rows"]] == [
        ("2026-11-22", "local", 2, 10),
        ("2026-11-22", "openai", 11, 20),
        ("2026-11-23", "openai", 20, 10),
    ]
    assert told["totals"]["requests"] == 33


def test_the_order_of_the_dimensions_is_the_callers(get, backend):
    backend.answers = {"a:1": usage("one", row(1))}
    told = get("/usage?by=provider,day").json
    assert list(told["rows"][0])[:2] == ["provider", "day"]


def test_parameters_reach_the_backend(get, backend):
    query = "from=2026-11-01&to=2026-11-30&by=key,model,day&provider=openai&model=a,b&key=abc&outcome=ok&limit=7"
    assert get(f"/usage?{query}").status_code == 200
    ((_, asked),) = backend.asked
    assert asked == pb.GetUsageRequest(
        first_day="2026-11-01",
        last_day="2026-11-30",
        by=[pb.USAGE_DIMENSION_CLIENT, pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_DAY],
        provider="openai",
        model="a,b",
        client="abc",
        outcome="ok",
        limit=7,
    )


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=yesterday", "from: must be a day such as 2026-11-22"),
        ("to=2026-13-01", "to: must be a day such as 2026-11-22"),
        ("from=", "from: must be a day such as 2026-11-22"),
        ("from=2026-11-02&to=2026-11-01", "from: 2026-11-02 is after 2026-11-01"),
        ("by=colour", "by: unknown 'colour'; known are day, provider, model, key, outcome"),
        ("limit=0", "limit: must be between 1 and 10000"),
        ("limit=%D9%A3", "limit: must be between 1 and 10000"),
        ("days=3", "days: unknown parameter; known are by, from, key, limit, model, outcome, provider, to"),
        ("to=0001-01-01", "to: must be 0001-01-30 or later"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(get, query, words):
    answer = get(f"/usage?{query}")
    assert (answer.status_code, answer.json["error"]) == (400, {"type": "invalid_request_error", "message": words})


@pytest.mark.parametrize("query", ["limit=1001", "limit=x", "from=2026-11-01"])
def test_a_wrong_parameter_of_the_list_is_a_400_too(get, query):
    assert get(f"/usage/requests?{query}").status_code == 400


def test_a_replica_that_does_not_answer_is_named(get, backend):
    backend.answers = {"a:1": usage("one", row(1)), "b:1": BackendError(grpc.StatusCode.DEADLINE_EXCEEDED)}
    told = get("/usage").json
    assert (told["totals"]["requests"], told["missing_replicas"]) == (1, ["b:1"])


def test_records_that_cannot_be_read_are_a_503_that_says_why(get, backend):
    backend.answers = {"a:1": BackendError(grpc.StatusCode.FAILED_PRECONDITION, "Usage is not available: disk full")}
    answer = get("/usage")
    assert (answer.status_code, answer.json["error"]["type"]) == (503, "overloaded_error")
    assert answer.json["error"]["message"] == "Usage is not available: disk full"


def test_a_backend_that_is_gone_is_a_503(get, backend):
    backend.answers = {"a:1": BackendError(grpc.StatusCode.UNAVAILABLE)}
    assert get("/usage").status_code == 503


def test_the_latest_requests_of_all_replicas_come_newest_first(get, backend):
    def requests(store, *seconds):
        records = [
            pb.RequestRecord(ended_at=Timestamp(seconds=one), client="key", provider="p", outcome="ok", total_ms=1.26)
            for one in seconds
        ]
        return pb.ListRequestsResponse(store_id=store, records=records)

    backend.answers = {"a:1": requests("one", 300, 100), "b:1": requests("two", 200)}
    told = get("/usage/requests?limit=2").json["requests"]
    assert [one["time"] for one in told] == ["1970-01-01T00:05:00.000Z", "1970-01-01T00:03:20.000Z"]
    assert told[0] == {
        "time": "1970-01-01T00:05:00.000Z",
        "key": "key",
        "provider": "p",
        "asked_model": "",
        "model": "",
        "outcome": "ok",
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "estimated": False,
        "retries": 0,
        "fallbacks": 0,
        "first_byte_ms": None,
        "total_ms": 1.3,
    }


def status(store, *spending, per_day=100):
    budget = pb.Budget(tokens_per_day=per_day)
    return pb.LlmProxyStatus(activity=pb.Activity(store_id=store, budget=budget, spending=spending))


def spent(client, day, today, this_month):
    return pb.Spending(client=client, day=day, today=today, this_month=this_month)


def test_spending_is_added_up_over_stores_and_of_yesterday_only_the_month_counts(get, backend):
    backend.statuses = [
        status("one", spent("k", "2026-11-22", 10, 50)),
        status("one", spent("k", "2026-11-22", 10, 50)),
        status("two", spent("k", "2026-11-22", 95, 200), spent("j", "2026-11-22", 1, 1)),
        status("three", spent("k", "2026-11-21", 7, 30)),
        status("four", spent("k", "2026-10-31", 7, 1000)),
    ]
    told = spending(backend.statuses)
    assert told["k"] == spent("k", "2026-11-22", 105, 280)
    assert get("/usage").json["budgets"] == [
        {"key": "k", "window": "day", "limit_tokens": 100, "spent_tokens": 105, "remaining_tokens": 0},
        {"key": "j", "window": "day", "limit_tokens": 100, "spent_tokens": 1, "remaining_tokens": 99},
    ]
    assert spending([]) == {}
