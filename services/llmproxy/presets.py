"""What is known beforehand of vendors by name, and how their endpoints are spelt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ENDPOINTS = ("/chat/completions", "/messages")
_VERSION = re.compile(r"/v\d+\w*$")


@dataclass(frozen=True, slots=True)
class Preset:
    """A vendor's address, wire format, and the variables that may hold its key, best first."""

    base_url: str
    message_format: str
    key_variables: tuple[str, ...] = ()
    keyless: bool = False
    """Whether it answers without a key."""


_OPENAI = "openai"
PRESETS: Mapping[str, Preset] = {
    "anthropic": Preset("https://api.anthropic.com", "anthropic", ("ANTHROPIC_API_KEY",)),
    "openai": Preset("https://api.openai.com/v1", _OPENAI, ("OPENAI_API_KEY",)),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta", "google", ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    ),
    "google": Preset(
        "https://generativelanguage.googleapis.com/v1beta", "google", ("GOOGLE_API_KEY", "GEMINI_API_KEY")
    ),
    "deepseek": Preset("https://api.deepseek.com", _OPENAI, ("DEEPSEEK_API_KEY",)),
    "openrouter": Preset("https://openrouter.ai/api/v1", _OPENAI, ("OPENROUTER_API_KEY",)),
    "groq": Preset("https://api.groq.com/openai/v1", _OPENAI, ("GROQ_API_KEY",)),
    "mistral": Preset("https://api.mistral.ai/v1", _OPENAI, ("MISTRAL_API_KEY",)),
    "xai": Preset("https://api.x.ai/v1", _OPENAI, ("XAI_API_KEY",)),
    "grok": Preset("https://api.x.ai/v1", _OPENAI, ("GROK_API_KEY", "XAI_API_KEY")),
    "ollama": Preset("http://localhost:11434/v1", _OPENAI, ("OLLAMA_API_KEY",), keyless=True),
    "bedrock": Preset("", "aws", ("AWS_BEARER_TOKEN_BEDROCK",)),
    "local": Preset("", "local", keyless=True),
}


def endpoint(base_url: str, path: str) -> str:
    """Join a configured base with ``messages`` or ``chat/completions``.

    Bases in the wild come bare, with a version segment, or as the full endpoint; each means the same.
    """
    base = base_url.rstrip("/")
    if base.endswith(_ENDPOINTS):
        return base
    return f"{base}/{path}" if _VERSION.search(base) else f"{base}/v1/{path}"
