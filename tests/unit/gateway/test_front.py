import asyncio
import itertools

import httpx
import pytest
from flask import Blueprint, Flask, Response, jsonify, request
from prometheus_client import CollectorRegistry

from gateway.app import create_app
from gateway.bridge import Bridge
from gateway.front import Front, Site
from gateway.metrics import Metrics
from gateway.peer import is_loopback
from gateway.snapshots import Snapshots
from gateway.usage import Usage

THING, OPERATOR = 5000, 8080


class Clock:
    def __init__(self):
        self.version = 1
        self.seconds = 100.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rendered():
    """How often the Flask view ran."""
    return itertools.count()


@pytest.fixture
def front(clock, rendered):
    views = Blueprint("views", __name__)

    @views.get("/api/status")
    def status():
        return jsonify(run=next(rendered), key=request.headers.get("X-Key"), peer=request.remote_addr)

    @views.get("/api/other")
    def other():
        return jsonify(run=next(rendered))

    thing = create_app("thing", views, lambda status, _error: Response(status=status), 1000)

    operator = Flask("operator", static_folder=None)

    @operator.get("/healthz")
    def healthz():
        return jsonify(status="ok")

    return Front(
        {
            THING: Site("thing", Bridge(thing, 1000), frozenset({"/api/status"}), frozenset({b"x-key"})),
            OPERATOR: Site("operator", Bridge(operator, 1000)),
        },
        OPERATOR,
        Snapshots(lambda: clock.version, lambda: clock.seconds),
        Metrics(CollectorRegistry()),
        Usage(),
    )


async def get(front, path, port=THING, method="GET", client=("127.0.0.1", 1), headers=None):
    class Listening(httpx.ASGITransport):
        async def handle_async_request(self, request):
            async def app(scope, receive, send):
                await front({**scope, "server": ("127.0.0.1", port)}, receive, send)

            return await httpx.ASGITransport(app, client=client).handle_async_request(request)

    async with httpx.AsyncClient(transport=Listening(front), base_url="http://any") as http:
        return await http.request(method, path, headers=headers)


async def test_an_answer_is_rendered_once_while_nothing_changes(front):
    first, second = await get(front, "/api/status"), await get(front, "/api/status")
    assert first.status_code == second.status_code == 200
    assert first.json()["run"] == second.json()["run"] == 0
    assert first.headers == second.headers


async def test_a_change_of_the_picture_makes_a_new_answer(front, clock):
    await get(front, "/api/status")
    clock.version += 1
    assert (await get(front, "/api/status")).json()["run"] == 1


async def test_a_new_second_makes_a_new_answer(front, clock):
    await get(front, "/api/status")
    clock.seconds += 1
    assert (await get(front, "/api/status")).json()["run"] == 1


async def test_an_answer_made_while_the_picture_changed_is_not_kept(front, clock):
    key = (("127.0.0.1", THING), b"/api/status", True)
    keep = front._snapshots.keeper(key, {}, _ignore)
    clock.version += 1
    await keep({"type": "http.response.body", "body": b"old"})
    assert front._snapshots.get(key) is None


async def test_every_answer_to_a_probe_is_counted_by_port(front):
    for _ in range(3):
        await get(front, "/api/status")
    assert (front._snapshots.renderings, front._snapshots.hits) == ({THING: 1}, {THING: 2})


@pytest.mark.parametrize(
    "difference",
    [
        {"headers": {"X-Key": "k"}},
        {"headers": {"Content-Length": "0"}},
        {"path": "/api/status?x=1"},
        {"method": "HEAD"},
        {"path": "/api/other"},
        {"client": ("192.0.2.1", 1)},
    ],
)
async def test_a_request_the_view_might_see_differently_is_rendered(front, difference, rendered):
    await get(front, "/api/status")
    await get(front, **{"path": "/api/status", **difference})
    assert next(rendered) == 2


async def test_an_unknown_path_of_a_snapshot_site_is_answered_by_flask(front):
    assert (await get(front, "/api/status/")).status_code == 404


async def test_the_listening_port_decides_whatever_the_host_header_says(front):
    answer = await get(front, "/healthz", headers={"Host": f"any:{OPERATOR}"})
    assert answer.status_code == 404
    assert (await get(front, "/healthz", port=OPERATOR)).json() == {"status": "ok"}


async def test_a_facade_is_reachable_by_prefix_on_the_operator_port(front):
    assert (await get(front, "/thing/api/status", port=OPERATOR)).json()["run"] == 0


@pytest.mark.parametrize("path", ["/thing", "/thingy/api/status", "/%74hing/api/status", "/nothing/api/status"])
async def test_a_path_that_only_resembles_a_prefix_stays_with_the_operator(front, path):
    assert (await get(front, path, port=OPERATOR)).status_code == 404


async def test_what_is_logged_of_a_request_is_its_route_never_its_path(front, caplog):
    caplog.set_level("INFO")
    await get(front, "/api/other")
    await get(front, "/api/session-that-is-a-secret")
    lines = [record for record in caplog.records if record.message == "answered"]
    assert [(line.route, line.status, line.facade) for line in lines] == [
        ("/api/other", 200, "thing"),
        ("", 404, "thing"),
    ]
    assert "secret" not in "".join(str(line.__dict__) for line in lines)


async def test_a_websocket_is_refused_where_no_facade_takes_one(front):
    sent = []

    async def send(event):
        sent.append(event)

    await front({"type": "websocket", "server": ("127.0.0.1", THING)}, asyncio.Event().wait, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_recognised(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "fe80::1", "localhost"])
def test_anything_else_is_not_loopback(host):
    assert not is_loopback(host)


async def _ignore(_event):
    pass
