"""Messages as Claude on Bedrock takes them, without what only Anthropic's own API knows, which is refused there."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.llmproxy.events import is_foreign
from services.llmproxy.messages import DEFAULT_MAX_TOKENS, text_of

VERSION = "bedrock-2023-05-31"
CONTEXT_MANAGEMENT = "context-management-2025-06-27"
BETAS = frozenset(
    {
        "compact-2026-01-12",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        CONTEXT_MANAGEMENT,
        "dev-full-thinking-2025-05-14",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    }
)
"""The flags that Bedrock documents; any other one is refused as an invalid beta flag."""
FIELDS = frozenset(
    {"max_tokens", "metadata", "output_config", "stop_sequences", "temperature", "thinking", "tool_choice"}
    | {"top_k", "top_p"}
)

Fields = Mapping[str, Any]


def request(fields: Fields, beta_header: str) -> dict[str, Any]:
    """Make the body of InvokeModel; model and stream are told by its address."""
    betas = [beta for beta in (one.strip() for one in beta_header.split(",")) if beta in BETAS]
    body: dict[str, Any] = {"anthropic_version": VERSION, "max_tokens": DEFAULT_MAX_TOKENS}
    if betas:
        body["anthropic_beta"] = betas
    if CONTEXT_MANAGEMENT in betas and "context_management" in fields:  # field and flag go together
        body["context_management"] = fields["context_management"]
    body |= {name: value for name, value in fields.items() if name in FIELDS}
    body |= {name: _blocks(fields[name]) for name in ("system", "tools") if name in fields}
    body["messages"] = [_message(message) for message in fields["messages"]]
    return body


def _message(message: Fields) -> dict[str, Any]:
    """Fold a system message into the user's turn, and leave out thoughts that Claude never had."""
    if message["role"] == "system":
        return {"role": "user", "content": f"<system>\n{text_of(message['content'])}\n</system>"}
    content = message["content"]
    if not isinstance(content, str):
        content = _blocks(block for block in content if not is_foreign(block))
    return {**message, "content": content}


def _blocks(content: str | Iterable[Fields]) -> Any:  # noqa: ANN401  text stays text
    return content if isinstance(content, str) else [_block(block) for block in content]


def _block(block: Fields) -> Fields:
    """Leave out the scope of a cache, which belongs to a flag that is refused."""
    mark = block.get("cache_control")
    if not isinstance(mark, Mapping) or "scope" not in mark:
        return block
    return {**block, "cache_control": {name: value for name, value in mark.items() if name != "scope"}}
