from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.app import create_app
from gateway.errors import BackendError
from gateway.facades.llmproxy import FACADE
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as pb

PROVIDER = pb.Provider(
    name="mine",
    api_base_url="https://x.test",
    api_key="sk-a****wxyz",
    models=["m"],
    enabled=True,
    message_format="anthropic",
    transformers=[pb.Transformer(name="t", config=b'{"a":1}'), pb.Transformer(name="u")],
    created_at=Timestamp(seconds=0),
    updated_at=Timestamp(seconds=60),
)
DOCUMENT = {
    "name": "mine",
    "api_base_url": "https://x.test",
    "api_key": "sk-a****wxyz",
    "models": ["m"],
    "enabled": True,
    "transformers": [{"name": "t", "config": {"a": 1}}, {"name": "u"}],
    "created_at": "1970-01-01T00:00:00Z",
    "updated_at": "1970-01-01T00:01:00Z",
    "message_format": "anthropic",
}


class FakeBackend:
    """Answers every method with what the test put there, and keeps what it was asked."""

    def __init__(self):
        methods = ["List", "Get", "Create", "Update", "Delete", "Toggle"]
        names = [f"{method}Provider{'s' if method == 'List' else ''}" for method in methods]
        self.stub = SimpleNamespace(**{name: name for name in names})
        self.answer = None
        self.asked = []

    def call(self, method, request, timeout_seconds):
        self.asked.append((method, request))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def client(backend):
    settings = GatewaySettings()
    app = create_app("llmproxy", FACADE.create_blueprint(backend, settings), FACADE.error_response, 1000)
    return app.test_client()


def test_the_list_is_an_array_even_when_it_is_empty(client, backend):
    backend.answer = pb.ListProvidersResponse()
    assert client.get("/providers").json == []
    backend.answer = pb.ListProvidersResponse(providers=[PROVIDER])
    assert client.get("/providers").json == [DOCUMENT]


def test_one_provider_is_read(client, backend):
    backend.answer = pb.GetProviderResponse(provider=PROVIDER)
    answer = client.get("/providers/mine")
    assert (answer.status_code, answer.json) == (200, DOCUMENT)
    assert backend.asked == [("GetProvider", pb.GetProviderRequest(name="mine"))]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "n", "apiBaseUrl": "u", "apiKey": "k", "models": ["m"]},
        {"name": "n", "api_base_url": "u", "api_key": "k", "models": ["m"]},
        {"name": "n", "api_base_url": "other", "apiBaseUrl": "u", "apiKey": "k", "api_key": "other", "models": ["m"]},
    ],
)
def test_both_spellings_are_taken_and_the_camel_case_one_wins(client, backend, body):
    backend.answer = pb.CreateProviderResponse(provider=PROVIDER)
    answer = client.post("/providers", json=body)
    assert (answer.status_code, answer.json) == (201, DOCUMENT)
    wanted = pb.CreateProviderRequest(name="n", api_base_url="u", api_key="k", models=["m"])
    assert backend.asked == [("CreateProvider", wanted)]
    assert not backend.asked[0][1].HasField("enabled")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "name is required"),
        (b'{"name":""}', "name is required"),
        (b'{"name":7}', "name: wrong type"),
        (b'{"name":"n","models":"m"}', "models: wrong type"),
        (b'{"name":"n","models":[1]}', "models: wrong type"),
        (b'{"name":"n","enabled":"yes"}', "enabled: wrong type"),
        (b'{"name":"n","colour":"red"}', "colour: unknown field"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_what_is_wrong(client, backend, body, words):
    answer = client.post("/providers", data=body)
    assert (answer.status_code, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert words in answer.json["error"]["message"]
    assert backend.asked == []


def test_an_update_sends_only_what_has_a_value(client, backend):
    backend.answer = pb.UpdateProviderResponse(provider=PROVIDER)
    body = {"name": "new", "apiKey": "", "api_base_url": None, "models": [], "enabled": False}
    assert client.put("/providers/mine", json=body).json == DOCUMENT
    wanted = pb.UpdateProviderRequest(name="mine", new_name="new", models=pb.ModelList(), enabled=False)
    assert backend.asked == [("UpdateProvider", wanted)]
    client.put("/providers/mine", json={"models": None, "enabled": None})
    assert backend.asked[-1] == ("UpdateProvider", pb.UpdateProviderRequest(name="mine"))


def test_delete_and_toggle_have_their_documented_words(client, backend):
    backend.answer = pb.DeleteProviderResponse()
    assert client.delete("/providers/mine").json == {"message": "Provider deleted successfully"}
    for enabled, word in ((True, "enabled"), (False, "disabled")):
        backend.answer = pb.ToggleProviderResponse(enabled=enabled)
        assert client.patch("/providers/mine/toggle").json == {"message": f"Provider {word} successfully"}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, 404, "not_found_error"),
        (grpc.StatusCode.ALREADY_EXISTS, 409, "invalid_request_error"),
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "invalid_request_error"),
        (grpc.StatusCode.FAILED_PRECONDITION, 409, "invalid_request_error"),
    ],
)
def test_what_the_backend_refuses_is_told_in_its_words(client, backend, code, status, kind):
    backend.answer = BackendError(code, "Provider 'mine' says no")
    for answer in (
        client.get("/providers/mine"),
        client.put("/providers/mine", json={}),
        client.delete("/providers/mine"),
        client.patch("/providers/mine/toggle"),
        client.post("/providers", json={"name": "mine"}),
    ):
        assert (answer.status_code, answer.json) == (
            status,
            {"error": {"type": kind, "message": "Provider 'mine' says no"}},
        )
