"""Providers that speak Gemini's generateContent, translated both ways."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
from yarl import URL

from services.llmproxy import gemini
from services.llmproxy.answers import Call, Resources
from services.llmproxy.condition import Condition
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.messages import MALFORMED, AnswerError, refused
from services.llmproxy.providers.translating import TranslatingProvider
from services.llmproxy.tokens import glance

DEFAULT_VERSION = "v1beta"


class GeminiProvider(TranslatingProvider):
    """Speaks generateContent, the key in its own header so that it is in no address."""

    def __init__(self, configured: ProviderConfiguration, resources: Resources, condition: Condition) -> None:
        super().__init__(configured, resources, condition)
        base = configured.api_base_url.rstrip("/").removesuffix("/models")
        self._base = base if re.search(r"/v\d+\w*$", base) else f"{base}/{DEFAULT_VERSION}"
        self._models_url = f"{self._base}/models"

    async def count_tokens(self, call: Call) -> int:
        """Ask the vendor to count what it would be asked."""
        with refused(400, MALFORMED):
            wanted = {**gemini.request(call.request.fields, call.model), "model": f"models/{call.model}"}
        body = orjson.dumps({"generateContentRequest": wanted})
        url = f"{self._base}/models/{quote(call.model, safe='')}:countTokens"
        headers = {"content-type": "application/json"} | self._headers(call.key, url, body)
        async with self._upstream.request("POST", url, headers, body) as response:
            data = await self._upstream.read(response)
        try:
            return int(orjson.loads(data)["totalTokens"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise AnswerError(502, "The provider does not count tokens", code="provider_error") from None

    def _url(self, model: str, *, stream: bool) -> str:
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"{self._base}/models/{quote(model.removeprefix('models/'), safe='')}:{action}"

    def _headers(self, key: str, url: str | URL, body: bytes) -> dict[str, str]:  # noqa: ARG002  nothing is signed
        return {"x-goog-api-key": key} if key else {}

    def _body(self, fields: Mapping[str, Any], model: str) -> dict[str, Any]:
        return gemini.request(fields, model)

    def _translation(self, fields: Mapping[str, Any], model: str) -> gemini.Answer:
        return gemini.Answer(self.name, model, glance(fields))
