import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from commands import operator, status


class Gateway(BaseHTTPRequestHandler):
    """Answers as the operator port does, from what a test put on its server."""

    def do_GET(self):
        answer = self.server.answers.get(self.path)
        self.send_response(200 if answer else 404)
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.answers = {}
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_document_is_fetched_also_below_a_path(gateway):
    gateway.answers["/behind/proxy/api/services"] = b'{"backends": []}'
    assert operator.fetch(gateway.url + "/behind/proxy/") == {"backends": []}


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>"])
def test_a_server_that_answers_something_else_is_no_gateway(gateway, body):
    gateway.answers["/api/services"] = body
    with pytest.raises(operator.Unanswered):
        operator.fetch(gateway.url)


def test_events_are_followed_until_the_gateway_ends_them(gateway):
    gateway.answers["/api/events"] = b'retry: 1\n\nid: 1\nevent: services\ndata: {"a":1}\n\ndata: {"a":2}\n\n'
    followed = operator.follow(gateway.url)
    assert [next(followed), next(followed)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(operator.Unanswered, match="has ended the stream"):
        next(followed)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://localhost", "http://"])
def test_what_is_no_address_is_said_to_be_none(url):
    with pytest.raises(operator.Unanswered, match="is no address of a gateway"):
        operator.fetch(url)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"OPERATOR_PORT": "81"}, "http://127.0.0.1:81"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:8080"),
        ({"HOST": "0.0.0.0", "OPERATOR_HOST": "::1"}, "http://[::1]:8080"),
        ({"OPERATOR_HOST": "::"}, "http://[::1]:8080"),
    ],
)
def test_the_gateway_of_this_machine_is_asked_unless_told_otherwise(monkeypatch, variables, url):
    for name, value in variables.items():
        monkeypatch.setenv(f"PULSEGATE_GATEWAY_{name}", value)
    assert operator.default_url() == url


def test_status_prints_the_whole_document_as_json(gateway, capsys):
    document = {"time": "2026-01-01T00:00:00Z", "backends": []}
    gateway.answers["/api/services"] = json.dumps(document).encode()
    assert status.main(["--gateway", gateway.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
