"""Clients that are not in our environment: Anthropic's Python client of before 1.0 and its TypeScript one."""

import asyncio
import json
import os
import shutil
import sys

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration
from tests.installed import node_package, or_skip, python_packages

OURS = "our-client-key"
SAID, CITY = "It is grün 👋", {"city": "Zürich"}

# Both do the same: a plain answer, a stream, a call of a tool and its result, an error; and print what they saw.
PYTHON = """
import anthropic, json, os, sys
assert anthropic.__version__.startswith("0."), anthropic.__version__
key = {os.environ["CREDENTIAL"]: os.environ["KEY"]}
client = anthropic.Anthropic(base_url=os.environ["URL"], max_retries=0, **key)
asked = {"model": "another,m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
tools = [{"name": "look", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
seen = {"plain": client.messages.create(temperature=0.5, **asked).content[0].text}
with client.messages.stream(**asked) as stream:
    seen["streamed"] = "".join(stream.text_stream)
    final = stream.get_final_message()
seen["usage"], seen["model"] = final.usage.output_tokens, final.model
with client.messages.stream(tools=tools, **asked) as stream:
    message = stream.get_final_message()
(call,) = [block for block in message.content if block.type == "tool_use"]
seen["call"], seen["reason"] = call.input, message.stop_reason
result = [{"type": "tool_result", "tool_use_id": call.id, "content": "green"}]
turns = [*asked["messages"], {"role": "assistant", "content": message.content}, {"role": "user", "content": result}]
seen["after"] = client.messages.create(**{**asked, "messages": turns}, tools=tools).content[0].text
try:
    client.messages.create(**{**asked, "model": "another,broken"})
except anthropic.RateLimitError as error:
    seen["error"] = error.body["error"]["message"]
print(json.dumps(seen))
"""
TYPESCRIPT = """
const Anthropic = require("@anthropic-ai/sdk").default;
const key = {[process.env.CREDENTIAL]: process.env.KEY};
const client = new Anthropic({apiKey: null, authToken: null, ...key, baseURL: process.env.URL, maxRetries: 0});
const asked = {model: "another,m", max_tokens: 50, messages: [{role: "user", content: "hi"}]};
const tools = [{name: "look", input_schema: {type: "object", properties: {city: {type: "string"}}}}];
(async () => {
  const seen = {plain: (await client.messages.create(asked)).content[0].text, streamed: ""};
  const stream = client.messages.stream(asked);
  stream.on("text", (text) => { seen.streamed += text; });
  const final = await stream.finalMessage();
  seen.usage = final.usage.output_tokens;
  seen.model = final.model;
  const message = await client.messages.stream({...asked, tools}).finalMessage();
  const call = message.content.find((block) => block.type === "tool_use");
  seen.call = call.input;
  seen.reason = message.stop_reason;
  const result = [{type: "tool_result", tool_use_id: call.id, content: "green"}];
  const messages = [...asked.messages, {role: "assistant", content: message.content}, {role: "user", content: result}];
  seen.after = (await client.messages.create({...asked, messages, tools})).content[0].text;
  try {
    await client.messages.create({...asked, model: "another,broken"});
  } catch (error) {
    if (!(error instanceof Anthropic.RateLimitError)) throw error;
    seen.error = error.error.error.message;
  }
  console.log(JSON.stringify(seen));
})();
"""


def old_python(tmp_path):
    folder = or_skip(python_packages, "anthropic-0.39.0", "anthropic==0.39.0", "httpx==0.27.2")
    script = tmp_path / "client.py"
    script.write_text(PYTHON)
    return [sys.executable, str(script)], {"PYTHONPATH": str(folder)}


def typescript(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("the TypeScript client cannot be had here: no node")
    folder = or_skip(node_package, "@anthropic-ai/sdk@1.12.0")
    script = tmp_path / "client.js"
    script.write_text(TYPESCRIPT)
    return [node, str(script)], {"NODE_PATH": str(folder)}


def chunk(reason=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": 4}}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": json.dumps(CITY)}}


async def vendor(request):
    """Calls the tool once if there is one, then says the same words, and knows one model that is used up."""
    asked = await request.json()
    if asked["model"] == "broken":
        return web.json_response({"error": {"message": "slow down"}}, status=429)
    results = [message["content"] for message in asked["messages"] if message["role"] == "tool"]
    calls = bool(asked.get("tools")) and not results
    if not asked.get("stream"):
        message = {"content": SAID + "".join(results)}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE["usage"]})
    said = [chunk(tool_calls=[CALL]), chunk("tool_calls")] if calls else [chunk(content=SAID), chunk("stop")]
    lines = [json.dumps(one, ensure_ascii=False) for one in [*said, USAGE]]
    body = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
    return web.Response(body=body, content_type="text/event-stream")


@pytest.mark.parametrize(
    ("client", "credential"),
    [
        (old_python, "api_key"),
        (old_python, "auth_token"),
        (typescript, "apiKey"),
        (typescript, "authToken"),
    ],
)
async def test_a_client_of_another_age_or_language(serve, upstream, until, gateway, tmp_path, client, credential):
    command, environment = client(tmp_path)
    upstream.script = vendor
    provider = ProviderConfiguration("another", "openai", f"{upstream.url}/v1", SecretStr("sk-x"))
    async with serve(provider) as proxy, gateway(proxy.address, until, llmproxy_key=OURS) as url:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}
            | {"URL": url, "KEY": OURS, "CREDENTIAL": credential},
        )
        try:
            async with asyncio.timeout(60):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
    assert process.returncode == 0, err.decode()
    assert json.loads(out) == {
        "plain": SAID,
        "streamed": SAID,
        "usage": 4,
        "model": "another/m",
        "call": CITY,
        "reason": "tool_use",
        "after": f"{SAID}green",
        "error": "slow down",
    }
    assert not any(OURS in str(request) for request in upstream.requests)
