"""The Anthropic Messages API as bytes: what a request must have, what errors and events look like."""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

MALFORMED = "The request is not a valid Messages request"
DEFAULT_MAX_TOKENS = 4096  # CCProxy's, where the real API would refuse the request

TOKEN_KINDS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
DELTA_KINDS = ("text", "thinking", "partial_json")
ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    501: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_SECRETS = re.compile(
    r"""
      (?P<key>\b(?:sk|rk|pk|gsk|xai|key|AIza|ya29|AKIA|ASIA|ghp|hf)[-_.]?[A-Za-z0-9][\w.\-]{7,})
    | (?P<bearer>\b(?i:bearer|basic)\s+[\w.~+/=\-]{6,})
    | (?P<mail>[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+)
    | (?P<address>\b\d{1,3}(?:\.\d{1,3}){3}\b)
    | (?P<long>\b[A-Za-z0-9+/_\-]{40,}={0,2})
    """,
    re.VERBOSE,
)


class AnswerError(Exception):
    """An answer that is an error, with everything the client is told about it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> bytes:
        """Render Anthropic's envelope, with CCProxy's ``code`` and ``details`` inside ``error``."""
        error: dict[str, object] = {"type": ERROR_TYPES.get(self.status, "api_error"), "message": str(self)}
        if self.code:
            error["code"] = self.code
        if self.details:
            error["details"] = self.details
        envelope: dict[str, object] = {"type": "error", "error": error}
        if request_id:
            envelope["request_id"] = request_id
        return orjson.dumps(envelope)


@dataclass(frozen=True, slots=True)
class Request:
    """One Messages request, read once; ``fields`` is the client's JSON object and is never changed."""

    raw: bytes
    fields: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model name as the client typed it."""
        return str(self.fields["model"])

    @property
    def stream(self) -> bool:
        """Whether the client asked for events."""
        return self.fields.get("stream") is True


def parse(raw: bytes, headers: Mapping[str, str]) -> Request:
    """Read a request body; what is missing or malformed is a 400 that names it."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise AnswerError(400, f"The request body is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise AnswerError(400, "The request body must be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model.strip():
        raise AnswerError(400, "model: Field required" if model is None else "model: must be a non-empty string")
    if "stream" in fields and not isinstance(fields["stream"], bool):
        raise AnswerError(400, "stream: must be true or false")
    _require_messages(fields.get("messages"))
    return Request(raw, fields, headers)


def _require_messages(messages: object) -> None:
    if messages is None:
        raise AnswerError(400, "messages: Field required")
    if not isinstance(messages, list) or not messages:
        raise AnswerError(400, "messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise AnswerError(400, f"messages.{index}: must be an object")
        if message.get("role") not in ("user", "assistant", "system"):
            raise AnswerError(400, f"messages.{index}.role: must be user, assistant or system")
        content = message.get("content")
        if not isinstance(content, str) and not (
            isinstance(content, list) and all(isinstance(block, dict) for block in content)
        ):
            raise AnswerError(400, f"messages.{index}.content: must be a string or an array of content blocks")


@contextmanager
def refused(status: int, message: str) -> Iterator[None]:
    """Turn what breaks while JSON of a stranger is read into an answer: nobody's malformed body is our failure."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        raise AnswerError(status, message) from None


def new_id() -> str:
    """Make a message id in Anthropic's shape."""
    return f"msg_{secrets.token_hex(12)}"


def error_event(error: AnswerError) -> bytes:
    """Render the data of the last event of a stream that failed."""
    kind = ERROR_TYPES.get(error.status, "api_error")
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": str(error)}})


def usage_of(event: str, data: bytes) -> dict[str, int]:
    """Read the token counts out of an event or a whole body; most say nothing, and later ones win."""
    if event not in ("", "message_start", "message_delta"):
        return {}
    try:
        fields = orjson.loads(data)
        told = (fields["message"] if event == "message_start" else fields).get("usage") or {}
        return {kind: told[kind] for kind in TOKEN_KINDS if isinstance(told.get(kind), int)}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return {}


def text_of_delta(data: bytes) -> str:
    """Read what the delta of a stream adds, text, thought or arguments; nothing where it cannot be read."""
    try:
        delta = orjson.loads(data)["delta"]
        return "".join(str(delta[kind]) for kind in DELTA_KINDS if kind in delta)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def text_of(content: object) -> str:
    """Join the text of a string or of text blocks; other blocks have none."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text")
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


def redact(text: str) -> str:
    """Blot out what looks like a key, a token, an e-mail address or an IP address."""
    return _SECRETS.sub("[redacted]", text)
