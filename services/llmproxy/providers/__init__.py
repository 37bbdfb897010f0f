"""One module per wire format; this table is the only place that knows them all."""

from collections.abc import Callable, Mapping

from services.llmproxy.answers import Provider, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.providers.anthropic import AnthropicProvider
from services.llmproxy.providers.bedrock import BedrockProvider
from services.llmproxy.providers.gemini import GeminiProvider
from services.llmproxy.providers.local import LocalProvider
from services.llmproxy.providers.openai import OpenAiProvider

PROVIDERS: Mapping[str, Callable[[ProviderConfiguration, Resources, Condition], Provider]] = {
    "anthropic": AnthropicProvider,
    "aws": BedrockProvider,
    "google": GeminiProvider,
    "local": LocalProvider,
    "openai": OpenAiProvider,
}
