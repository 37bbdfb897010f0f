"""One module per wire format; this table is the only place that knows them all."""

from collections.abc import Mapping

from services.llmproxy.providers.anthropic import AnthropicProvider
from services.llmproxy.providers.local import LocalProvider
from services.llmproxy.providers.openai import OpenAiProvider

PROVIDERS: Mapping[str, type[AnthropicProvider] | type[LocalProvider] | type[OpenAiProvider]] = {
    "anthropic": AnthropicProvider,
    "local": LocalProvider,
    "openai": OpenAiProvider,
}
