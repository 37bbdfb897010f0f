"""Providers that speak Chat Completions, translated both ways."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from yarl import URL

from services.llmproxy import chat
from services.llmproxy.answers import Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.dialects import DIALECTS, GENERIC
from services.llmproxy.presets import endpoint
from services.llmproxy.providers.translating import TranslatingProvider
from services.llmproxy.tokens import glance


class OpenAiProvider(TranslatingProvider):
    """Speaks Chat Completions; how a vendor deviates is its row in `dialects.py`."""

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        super().__init__(configured, resources, condition)
        self._dialect = DIALECTS.get(configured.name.lower(), GENERIC)
        if configured.most_tokens:
            self._dialect = replace(self._dialect, most_tokens=configured.most_tokens)
        self._completions_url = endpoint(configured.api_base_url, "chat/completions")
        self._models_url = self._completions_url.removesuffix("chat/completions") + "models"

    def _url(self, model: str, *, stream: bool) -> str:  # noqa: ARG002  both are told in the body
        return self._completions_url

    def _headers(self, key: str, url: str | URL, body: bytes) -> dict[str, str]:  # noqa: ARG002  nothing is signed
        return {"authorization": f"Bearer {key}"} if key else {}

    def _body(self, fields: Mapping[str, Any], model: str) -> dict[str, Any]:
        return chat.request(fields, model, self._dialect)

    def _translation(self, fields: Mapping[str, Any], model: str) -> chat.Answer:
        return chat.Answer(self.name, model, glance(fields), fields.get("stop_sequences") or ())
