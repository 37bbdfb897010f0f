"""Claude Code itself, from npm, through the whole way to a scripted vendor of another format, without the internet."""

import asyncio
import json
import os

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration
from tests.installed import node_package, or_skip

PACKAGE = "@anthropic-ai/claude-code@2.1.197"
OURS = "our-client-key"


@pytest.fixture(scope="module")
def claude():
    """The program; development only, never shipped."""
    return or_skip(node_package, PACKAGE) / ".bin" / "claude"


def sse(*documents):
    lines = [json.dumps(one, ensure_ascii=False) for one in documents]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def chunk(reason=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def call(index, path):
    arguments = json.dumps({"file_path": str(path)})
    function = {"name": "Read", "arguments": arguments[:9]}
    first = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
    return first, {"index": index, "function": {"arguments": arguments[9:]}}


USAGE = {"choices": [], "usage": {"prompt_tokens": 20000, "completion_tokens": 9}}


@pytest.fixture
async def run(serve, upstream, until, gateway, claude, tmp_path):
    """Runs Claude Code against the façade and returns what it printed."""
    provider = ProviderConfiguration("another", "openai", f"{upstream.url}/v1", SecretStr("sk-x"))

    async def running(url, prompt, *flags, **credential):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ANTHROPIC_BASE_URL": url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            **credential,
        }
        process = await asyncio.create_subprocess_exec(
            *(str(claude), "-p", prompt, "--model", "another,some-model", *flags),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env=environment,
        )
        try:
            async with asyncio.timeout(90):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert process.returncode == 0, (out, err)
        return out.decode()

    async with serve(provider) as proxy, gateway(proxy.address, until, llmproxy_key=OURS) as url:
        yield lambda prompt, *flags, **credential: running(url, prompt, *flags, **credential)


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
async def test_a_plain_turn_with_either_credential(run, upstream, variable):
    upstream.stream(sse(chunk(content="Grüße "), chunk(content="aus Zürich"), chunk("stop"), USAGE))
    assert (await run("hi", **{variable: OURS})).strip() == "Grüße aus Zürich"
    asked = json.loads(upstream.requests[-1][3])
    assert asked["model"] == "some-model"
    assert asked["stream"] is True
    assert not any(OURS in str(request) for request in upstream.requests)


async def test_a_turn_with_two_tools_whose_pieces_come_mixed(run, upstream, tmp_path):
    paths = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for path in paths:
        path.write_text(f"the words of {path.stem}")

    async def script(request):
        asked = json.loads(upstream.requests[-1][3])
        results = [message["content"] for message in asked["messages"] if message["role"] == "tool"]
        if results:
            body = sse(chunk(content=f"read {len(results)}"), chunk("stop"), USAGE)
        else:
            (first, rest), (second, last) = (call(index, path) for index, path in enumerate(paths))
            body = sse(*(chunk(tool_calls=[one]) for one in (first, second, last, rest)), chunk("tool_calls"), USAGE)
        return web.Response(body=body, content_type="text/event-stream")

    upstream.script = script
    assert (await run("read them", "--allowedTools", "Read", ANTHROPIC_API_KEY=OURS)).strip() == "read 2"
    asked = json.loads(upstream.requests[-1][3])
    results = {one["tool_call_id"]: one["content"] for one in asked["messages"] if one["role"] == "tool"}
    assert "the words of one" in results["call_0"]
    assert "the words of two" in results["call_1"]
