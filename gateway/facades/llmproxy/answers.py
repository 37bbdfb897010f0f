"""The routes of Anthropic's API: messages, token counts, models."""

from collections.abc import Generator
from typing import Any

import orjson
from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound

from gateway.backend import Backend
from gateway.describe import describe
from gateway.errors import BackendError
from gateway.facades.llmproxy.access import Access
from gateway.facades.llmproxy.accounts import spending
from gateway.facades.llmproxy.documents import model_document, page
from gateway.facades.llmproxy.errors import json_response, words
from gen.llmproxy.v1 import llmproxy_pb2 as messages

ANSWER_SECONDS = 3600.0  # an answer may be long; its silences are limited by the backend
COUNT_SECONDS = 60.0
LIST_SECONDS = 5.0
MOST_MODELS = 1000
PASSED_PREFIXES = ("anthropic-", "x-claude-code-")
NAMELESS = "chunk"
"""Events that OpenAI's clients read go out without a name."""
COMMENT = "comment"
"""Events that nobody reads: they keep a silent stream alive."""
FAILURES = dict.fromkeys((400, 401, 403, 404, 413, 429, 503), "Error")
PASSED_HEADERS = {"anthropic-version": "As Anthropic documents it.", "anthropic-beta": "As Anthropic documents it."}
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def add_routes(blueprint: Blueprint, backend: Backend[Any], access: Access) -> None:
    """Add the routes to the façade."""

    @blueprint.post("/v1/messages")
    @describe({200: "Message, text/event-stream", **FAILURES}, body="MessageRequest", headers=PASSED_HEADERS)
    def create_message() -> Response:
        """Answer a Messages request."""
        return _create(backend, access, messages.CreateMessageRequest.FORM_UNSPECIFIED)

    @blueprint.post("/v1/chat/completions")
    @describe({200: "ChatCompletion, text/event-stream", **FAILURES}, body="ChatRequest")
    def create_chat_completion() -> Response:
        """Answer the same in the words of OpenAI's clients."""
        return _create(backend, access, messages.CreateMessageRequest.FORM_CHAT_COMPLETIONS)

    @blueprint.post("/v1/messages/count_tokens")
    @describe({200: "TokenCount", **FAILURES}, body="CountRequest", headers=PASSED_HEADERS)
    def count_tokens() -> Response:
        """Count input tokens, by the provider or by an estimate that says so."""
        asked = messages.CountTokensRequest(body=request.get_data(), headers=passed_headers())
        counted = backend.call(backend.stub.CountTokens, asked, COUNT_SECONDS)
        response = json_response({"input_tokens": counted.input_tokens})
        if counted.estimated:
            response.headers["x-usage-estimated"] = "true"
        return response

    @blueprint.get("/v1/models")
    @describe(
        {200: "Models", 400: "Error", 401: "Error", 403: "Error", 503: "Error"},
        query={
            "limit": f"At most so many, 1 to {MOST_MODELS}.",
            "after_id": "Only those behind this one.",
            "before_id": "Only those before this one.",
        },
    )
    def list_models() -> Response:
        """List models; without query parameters the list is whole, which OpenAI's clients expect."""
        limit = request.args.get("limit", str(MOST_MODELS))
        if not limit.isdigit() or not 1 <= int(limit) <= MOST_MODELS:
            raise BadRequest(f"limit: must be between 1 and {MOST_MODELS}")
        listed = backend.call(backend.stub.ListModels, messages.ListModelsRequest(), LIST_SECONDS)
        models = [model_document(one) for one in listed.models]
        return json_response(
            page(models, int(limit), request.args.get("after_id", ""), request.args.get("before_id", ""))
        )

    @blueprint.get("/v1/models/<path:name>")
    @describe({200: "Model", 401: "Error", 403: "Error", 404: "Error", 503: "Error"})
    def read_model(name: str) -> Response:
        """Read one model."""
        listed = backend.call(backend.stub.ListModels, messages.ListModelsRequest(), LIST_SECONDS)
        for one in listed.models:
            if one.id == name:
                return json_response(model_document(one))
        raise NotFound(f"No model is named '{name}'")


def passed_headers() -> dict[str, str]:
    """Collect the headers a provider may need, which never include a credential."""
    lowered = ((name.lower(), value) for name, value in request.headers)
    return {name: value for name, value in lowered if name.startswith(PASSED_PREFIXES)}


Answers = Generator[messages.CreateMessageResponse, None, None]


def _create(backend: Backend[Any], access: Access, form: messages.CreateMessageRequest.Form) -> Response:
    """Answer a request whole or streamed; the first event is taken first, so that an error keeps its status."""
    client = access.client()
    asked = messages.CreateMessageRequest(
        body=request.get_data(),
        headers=passed_headers(),
        client=client,
        spent=spending(backend.picture.statuses()).get(client),
        form=form,
    )
    answers = backend.stream(backend.stub.CreateMessage, asked, ANSWER_SECONDS)
    first = next(answers)
    headers = {"X-Provider": first.head.provider, "X-Model": first.head.model, **first.head.headers}
    headers = {name: value for name, value in headers.items() if value}
    if first.event:
        response = Response(
            _events(first, answers),
            headers=headers | STREAM_HEADERS,
            content_type="text/event-stream; charset=utf-8",
        )
        response.call_on_close(answers.close)  # whether or not anything was written yet
        return response
    answers.close()
    return Response(first.data, first.head.status, headers, content_type="application/json")


def _events(first: messages.CreateMessageResponse, answers: Answers) -> Generator[bytes, None, None]:
    """Write events as they come; a failure becomes the last one."""
    try:
        yield _written(first)
        for answer in answers:
            yield _written(answer)
    except BackendError as error:
        failure = {"type": "api_error", "message": words(503, error)}
        name = first.event if first.event == NAMELESS else "error"
        yield _event(name, orjson.dumps({"type": "error", "error": failure}))


def _written(answer: messages.CreateMessageResponse) -> bytes:
    """Write everything that came at once."""
    if not answer.more:
        return _event(answer.event, answer.data)
    return b"".join([_event(answer.event, answer.data), *(_event(one.event, one.data) for one in answer.more)])


def _event(name: str, data: bytes) -> bytes:
    if name == NAMELESS:
        return b"data: %s\n\n" % data
    if name == COMMENT:
        return b": %s\n\n" % data
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)
