"""The official clients of Anthropic and OpenAI through the whole way: HTTP, gateway, gRPC, backend, a vendor."""

import json
from dataclasses import dataclass

import anthropic
import openai
import pytest
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.embedded import EngineSettings, bundled_model, unavailable

KEY = "sk-planted-0123456789abcdef"
QUESTION = {"role": "user", "content": "How is the sky over Zürich?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"name": "look", "description": "Look at the sky.", "input_schema": SCHEMA}]
FUNCTIONS = [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": SCHEMA}}]
CITY = {"city": "Zürich"}
CALL_ID = "call_abc-1"
SAID, RESULT = "It is grün 👋", "green"
needs_model = pytest.mark.skipif(bool(unavailable(bundled_model())), reason=unavailable(bundled_model()))


def data(document):
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


class ChatVendor:
    """Speaks Chat Completions as vendors document it."""

    def __init__(self):
        self.usage = {"prompt_tokens": 21, "completion_tokens": 4, "total_tokens": 25}

    def call(self):
        function = {"name": "look", "arguments": json.dumps(CITY)}
        message = {"content": None, "tool_calls": [{"id": CALL_ID, "type": "function", "function": function}]}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": self.usage}

    def text(self):
        choice = {"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": self.usage}

    def call_stream(self):
        start = {"index": 0, "id": CALL_ID, "type": "function", "function": {"name": "look", "arguments": ""}}
        yield self._chunk(role="assistant", content=None, tool_calls=[start])
        for part in ('{"ci', 'ty":"Zü', 'rich"}'):
            yield self._chunk(tool_calls=[{"index": 0, "function": {"arguments": part}}])
        yield from self._end("tool_calls")

    def text_stream(self):
        for part in ("It is ", "grün 👋"):
            yield self._chunk(content=part)
        yield from self._end("stop")

    def result(self, asked):
        """What came back of the call: its id, its arguments, its result."""
        before, after = asked["messages"][-2:]
        (call,) = before["tool_calls"]
        assert call["id"] == after["tool_call_id"]
        return json.loads(call["function"]["arguments"]), after["content"]

    def _end(self, reason):
        yield data({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        yield data({"choices": [], "usage": self.usage})
        yield b"data: [DONE]\n\n"

    def _chunk(self, **delta):
        return data({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


class ConverseVendor:
    """Speaks Bedrock's Converse as AWS documents it."""

    content_type = "application/vnd.amazon.eventstream"

    def __init__(self, frame):
        self._frame = frame
        self.usage = {"inputTokens": 21, "outputTokens": 4, "totalTokens": 25}

    def call(self):
        return self._answer({"toolUse": {"toolUseId": CALL_ID, "name": "look", "input": CITY}}, "tool_use")

    def text(self):
        return self._answer({"text": SAID}, "end_turn")

    def call_stream(self):
        yield self._event("messageStart", role="assistant")
        start = {"toolUse": {"toolUseId": CALL_ID, "name": "look"}}
        yield self._event("contentBlockStart", contentBlockIndex=0, start=start)
        for part in ('{"ci', 'ty":"Zü', 'rich"}'):
            yield self._event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": part}})
        yield from self._end("tool_use")

    def text_stream(self):
        yield self._event("messageStart", role="assistant")
        for part in ("It is ", "grün 👋"):
            yield self._event("contentBlockDelta", contentBlockIndex=0, delta={"text": part})
        yield from self._end("end_turn")

    def result(self, asked):
        before, after = asked["messages"][-2:]
        (call,) = (block["toolUse"] for block in before["content"] if "toolUse" in block)
        (answer,) = (block["toolResult"] for block in after["content"])
        assert call["toolUseId"] == answer["toolUseId"] == CALL_ID
        return call["input"], answer["content"][0]["text"]

    def _answer(self, block, reason):
        message = {"role": "assistant", "content": [block]}
        return {"output": {"message": message}, "stopReason": reason, "usage": self.usage, "metrics": {"latencyMs": 1}}

    def _end(self, reason):
        yield self._event("contentBlockStop", contentBlockIndex=0)
        yield self._event("messageStop", stopReason=reason)
        yield self._event("metadata", usage=self.usage, metrics={"latencyMs": 1})

    def _event(self, name, **fields):
        return self._frame(json.dumps(fields).encode(), event_type=name)


class GeminiVendor:
    """Speaks generateContent as Google documents it."""

    def call(self):
        part = {"functionCall": {"name": "look", "args": CITY}, "thoughtSignature": "c2lnbmVk"}
        return self._answer(part)

    def text(self):
        return self._answer({"text": SAID})

    def call_stream(self):
        yield data(self.call())

    def text_stream(self):
        for part in ("It is ", "grün 👋"):
            yield data(self._answer({"text": part}))

    def result(self, asked):
        before, after = asked["contents"][-2:]
        call = next(part["functionCall"] for part in before["parts"] if "functionCall" in part)
        (answer,) = (part["functionResponse"] for part in after["parts"])
        assert call["name"] == answer["name"]
        return call["args"], answer["response"]["result"]

    def _answer(self, part):
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 21, "candidatesTokenCount": 4}}


@dataclass(frozen=True)
class Way:
    """One vendor, scripted, with the façade in front of it."""

    name: str
    vendor: ChatVendor | ConverseVendor | GeminiVendor
    url: str

    @property
    def model(self):
        return f"{self.name},some-model"


VENDORS = ["openai", "deepseek", "openrouter", "groq", "mistral", "xai", "ollama", "another"]


@pytest.fixture(params=[*VENDORS, "gemini", "bedrock"])
async def way(request, serve, upstream, until, gateway, frame):
    name = request.param
    if name == "bedrock":
        key = SecretStr(f"AKIAPLANTED0123456789:{KEY}")
        vendor = ConverseVendor(frame)
        provider = ProviderConfiguration(name, "aws", upstream.url, key, region="eu-west-1")
    elif name == "gemini":
        vendor, provider = GeminiVendor(), ProviderConfiguration(name, "google", upstream.url, SecretStr(KEY))
    else:
        vendor, provider = ChatVendor(), ProviderConfiguration(name, "openai", f"{upstream.url}/v1", SecretStr(KEY))
    async with serve(provider) as proxy, gateway(proxy.address, until) as url:
        yield Way(name, vendor, url)


def streams(upstream, way, chunks):
    upstream.stream(*chunks, content_type=getattr(way.vendor, "content_type", "text/event-stream"))


def answers(upstream, document):
    upstream.answer(200, json.dumps(document).encode())


def sent(upstream):
    return json.loads(upstream.requests[-1][3])


async def test_anthropics_client_has_a_turn_with_a_tool_streamed(way, upstream):
    async with anthropic.AsyncAnthropic(base_url=way.url, api_key="x", max_retries=0) as client:
        asked = {"model": way.model, "max_tokens": 50, "tools": TOOLS, "system": "Be brief."}
        streams(upstream, way, way.vendor.call_stream())
        async with client.messages.stream(messages=[QUESTION], **asked) as stream:
            first = await stream.get_final_message()
        (call,) = [block for block in first.content if block.type == "tool_use"]
        assert (call.name, call.input, first.stop_reason) == ("look", CITY, "tool_use")
        assert (first.usage.input_tokens, first.usage.output_tokens) == (21, 4)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
        turns = [QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        streams(upstream, way, way.vendor.text_stream())
        async with client.messages.stream(messages=turns, **asked) as stream:
            text = "".join([part async for part in stream.text_stream])
            last = await stream.get_final_message()
    assert (text, last.stop_reason, last.model) == (SAID, "end_turn", f"{way.name}/some-model")
    assert way.vendor.result(sent(upstream)) == (CITY, RESULT)


async def test_anthropics_client_has_a_turn_with_a_tool_in_whole_answers(way, upstream):
    async with anthropic.AsyncAnthropic(base_url=way.url, api_key="x", max_retries=0) as client:
        asked = {"model": way.model, "max_tokens": 50, "tools": TOOLS, "tool_choice": {"type": "any"}}
        answers(upstream, way.vendor.call())
        first = await client.messages.create(messages=[QUESTION], **asked)
        (call,) = [block for block in first.content if block.type == "tool_use"]
        assert (call.name, call.input, first.stop_reason) == ("look", CITY, "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
        turns = [QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        answers(upstream, way.vendor.text())
        last = await client.messages.create(messages=turns, **asked)
    assert (last.content[0].text, last.usage.input_tokens, last.usage.output_tokens) == (SAID, 21, 4)
    assert way.vendor.result(sent(upstream)) == (CITY, RESULT)


async def test_openais_client_has_a_turn_with_a_tool_streamed(way, upstream):
    async with openai.AsyncOpenAI(base_url=f"{way.url}/v1", api_key="x", max_retries=0) as client:
        asked = {"model": way.model, "tools": FUNCTIONS, "stream_options": {"include_usage": True}}
        streams(upstream, way, way.vendor.call_stream())
        call_id, arguments, usage, reason = "", "", None, None
        async for chunk in await client.chat.completions.create(messages=[QUESTION], stream=True, **asked):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                for part in choice.delta.tool_calls or []:
                    call_id = part.id or call_id
                    arguments += part.function.arguments or ""
        assert (json.loads(arguments), reason) == (CITY, "tool_calls")
        assert (usage.prompt_tokens, usage.completion_tokens) == (21, 4)
        function = {"name": "look", "arguments": arguments}
        made = {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}
        turns = [QUESTION, made, {"role": "tool", "tool_call_id": call_id, "content": RESULT}]
        streams(upstream, way, way.vendor.text_stream())
        text = ""
        async for chunk in await client.chat.completions.create(messages=turns, stream=True, **asked):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == SAID
    assert way.vendor.result(sent(upstream)) == (CITY, RESULT)


async def test_openais_client_has_a_turn_with_a_tool_in_whole_answers(way, upstream):
    async with openai.AsyncOpenAI(base_url=f"{way.url}/v1", api_key="x", max_retries=0) as client:
        asked = {"model": way.model, "tools": FUNCTIONS}
        answers(upstream, way.vendor.call())
        first = (await client.chat.completions.create(messages=[QUESTION], **asked)).choices[0]
        (call,) = first.message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("look", CITY)
        assert first.finish_reason == "tool_calls"
        turns = [QUESTION, first.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
        answers(upstream, way.vendor.text())
        last = await client.chat.completions.create(messages=turns, **asked)
    assert (last.choices[0].message.content, last.choices[0].finish_reason) == (SAID, "stop")
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (21, 4)
    assert way.vendor.result(sent(upstream)) == (CITY, RESULT)


async def test_both_clients_raise_their_own_error_for_a_vendors_refusal(way, upstream):
    upstream.answer(429, b'{"error":{"message":"slow down","code":429},"message":"slow down"}', {"retry-after": "7"})
    asked = {"model": way.model, "messages": [QUESTION], "max_tokens": 5}
    async with anthropic.AsyncAnthropic(base_url=way.url, api_key="x", max_retries=0) as client:
        with pytest.raises(anthropic.RateLimitError, match="slow down") as refused:
            await client.messages.create(**asked)
    assert refused.value.response.headers["retry-after"] == "7"
    async with openai.AsyncOpenAI(base_url=f"{way.url}/v1", api_key="x", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError, match="slow down"):
            await client.chat.completions.create(stream=True, **asked)


@needs_model
async def test_openais_client_without_any_key_gets_a_real_answer_streamed_and_not(serve, until, gateway):
    async with (
        serve(ProviderConfiguration("local", "local"), engine=EngineSettings(bundled_model())) as proxy,
        gateway(proxy.address, until) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none needed", max_retries=0) as client,
    ):
        asked = {"model": "gpt-x", "max_tokens": 8, "temperature": 0, "messages": [QUESTION]}
        whole = await client.chat.completions.create(**asked)
        assert whole.choices[0].message.content.strip()
        assert whole.usage.completion_tokens > 0
        parts = [chunk async for chunk in await client.chat.completions.create(stream=True, **asked)]
        text = "".join(choice.delta.content or "" for chunk in parts for choice in chunk.choices)
        assert text == whole.choices[0].message.content
        assert "smollm2-135m-instruct" in [model.id async for model in client.models.list()]
