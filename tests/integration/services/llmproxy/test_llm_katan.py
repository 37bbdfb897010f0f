"""An upstream that others wrote: llm-katan in its echo mode, which answers in the formats of several vendors.

Its Gemini is Vertex's, which takes other credentials than the one we speak to.
"""

import asyncio
import json
import os
import socket
import sys

import aiohttp
import anthropic
import pytest
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration
from tests.installed import or_skip, python_packages

KEYS = {
    "openai": "sk-planted-0123456789",
    "anthropic": "sk-ant-planted-0123",
    "aws": "AKIAPLANTED0123456789:planted/secret+0123456789abcdef",
}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
ASKED = {"max_tokens": 40, "messages": [{"role": "user", "content": "Say grün."}]}


@pytest.fixture
async def katan(tmp_path):
    """The server, with the flags of a test."""
    folder = or_skip(python_packages, "llm-katan-0.22.0", "llm-katan==0.22.0")
    processes = []

    async def start(*flags):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", "from llm_katan.cli import main; main()"),
            *("--model", "echo", "--backend", "echo", "--host", "127.0.0.1", "--port", str(port)),
            *("--providers", "openai,anthropic,vertexai,bedrock", "--stats-file", str(tmp_path / "stats.json")),
            *("--log-level", "error", *flags),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(folder)},
        )
        processes.append(process)
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None
                try:
                    async with session.get(f"{url}/health"):
                        return url
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    yield start
    for process in processes:
        process.kill()
        await process.wait()


def provider(message_format, url):
    return ProviderConfiguration("katan", message_format, url, SecretStr(KEYS[message_format]), region="us-east-1")


@pytest.mark.parametrize("message_format", ["openai", "anthropic", "aws"])
async def test_an_independent_upstream_is_understood(serve, until, gateway, katan, message_format):
    url = await katan()
    async with (
        serve(provider(message_format, url)) as proxy,
        gateway(proxy.address, until) as rest,
        anthropic.AsyncAnthropic(base_url=rest, api_key="x", max_retries=0) as client,
    ):
        whole = await client.messages.create(model="katan,echo-1", **ASKED)
        assert "grün" in whole.content[0].text
        assert whole.model.startswith("katan/")
        assert whole.usage.output_tokens > 0
        called = await client.messages.create(model="katan,echo-1", tools=[TOOL], **ASKED)
        (call,) = [block for block in called.content if block.type == "tool_use"]
        assert (call.name, called.stop_reason) == ("look", "tool_use")
        if message_format == "aws":
            return  # its stream of Bedrock is lines of text, which AWS never sends
        async with client.messages.stream(model="katan,echo-1", **ASKED) as stream:
            text = "".join([part async for part in stream.text_stream])
            final = await stream.get_final_message()
        assert text == whole.content[0].text
        assert final.stop_reason == whole.stop_reason
        async with client.messages.stream(model="katan,echo-1", tools=[TOOL], **ASKED) as stream:
            streamed = await stream.get_final_message()
        (call,) = [block for block in streamed.content if block.type == "tool_use"]
        assert call.name == "look"


async def test_its_limit_of_requests_is_a_429_with_our_key_in_no_answer(serve, katan):
    url = await katan("--rate-limit-after", "1")
    body = json.dumps({"model": "katan,echo-1", **ASKED}).encode()
    async with serve(provider("openai", url)) as proxy:
        answers = [(await proxy.answers(body))[0] for _ in range(2)]
    assert [answer.head.status for answer in answers] == [200, 429]
    assert json.loads(answers[1].data)["error"]["type"] == "rate_limit_error"
    assert b"planted" not in answers[1].data.lower()
