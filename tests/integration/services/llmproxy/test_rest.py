"""The whole way of a Messages request: HTTP, the gateway's own parts, gRPC, the backend, a provider."""

import asyncio
import json
import sys

import aiohttp
import anthropic as sdk
import pytest

from gen.llmproxy.v1 import llmproxy_pb2
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.embedded import EngineSettings, bundled_model, unavailable

ASKED = {"model": "claude-x", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
needs_model = pytest.mark.skipif(bool(unavailable(bundled_model())), reason=unavailable(bundled_model()))


def event(name, **fields):
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
START = event("message_start", message={**MESSAGE, "usage": {"input_tokens": 1, "output_tokens": 0}})


@pytest.fixture
async def rest(proxy, until, gateway):
    """The façade in front of a scripted provider."""
    async with gateway(proxy.address, until) as url:
        yield url


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@needs_model
async def test_the_official_client_without_any_key_gets_a_real_answer_streamed_and_not(serve, until, gateway):
    local = ProviderConfiguration("local", "local")
    async with (
        serve(local, engine=EngineSettings(bundled_model())) as proxy,
        gateway(proxy.address, until) as url,
        sdk.AsyncAnthropic(base_url=url, api_key="none needed", max_retries=0) as client,
    ):
        message = await client.messages.create(**ASKED)
        assert message.content[0].text.strip()
        assert message.model == "local/smollm2-135m-instruct"
        assert message.usage.output_tokens > 0
        async with client.messages.stream(**ASKED) as stream:
            text = "".join([part async for part in stream.text_stream])
            final = await stream.get_final_message()
        assert text.strip()
        assert final.content[0].text == text
        assert final.stop_reason in ("end_turn", "max_tokens")
        assert final.usage.input_tokens == message.usage.input_tokens
        counted = await client.messages.count_tokens(model="claude-x", messages=ASKED["messages"])
        assert counted.input_tokens == message.usage.input_tokens
        assert "smollm2-135m-instruct" in [model.id async for model in client.models.list()]


async def test_the_official_client_raises_what_the_provider_said(rest, upstream):
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    upstream.answer(529, body)
    async with sdk.AsyncAnthropic(base_url=rest, api_key="x", max_retries=0) as client:
        with pytest.raises(sdk.APIStatusError) as failure:
            await client.messages.create(**ASKED)
        assert (failure.value.status_code, failure.value.body["error"]["message"]) == (529, "Overloaded")
        upstream.stream(START, event("error", error={"type": "api_error", "message": "cut"}))
        with pytest.raises(sdk.APIStatusError, match="cut"):
            async with client.messages.stream(**ASKED) as stream:
                await stream.get_final_message()


async def test_both_ways_to_send_a_key_and_both_api_versions_are_taken(proxy, until, upstream, http, gateway):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    async with gateway(proxy.address, until, llmproxy_key="ours") as url:
        for key, version in (("x-api-key", "2023-06-01"), ("Authorization", "2026-10-21")):
            headers = {key: "ours" if key == "x-api-key" else "Bearer ours", "anthropic-version": version}
            async with http.post(f"{url}/v1/messages?beta=true", json=ASKED, headers=headers) as answer:
                assert answer.status == 200
        async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
            assert answer.status == 401
    assert [headers["anthropic-version"] for _, _, headers, _ in upstream.requests] == ["2023-06-01", "2026-10-21"]
    assert not any("ours" in str(request) for request in upstream.requests)


async def test_the_first_event_comes_through_while_the_provider_still_writes(rest, upstream, http):
    hold = asyncio.Event()

    async def then(request, response):
        await hold.wait()
        await response.write(event("message_stop"))

    upstream.stream(START, then=then)
    async with asyncio.timeout(10), http.post(f"{rest}/v1/messages", json={**ASKED, "stream": True}) as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b"event: message_start\n"
        hold.set()
        assert (await answer.read()).endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_is_felt_by_the_provider(rest, upstream, http, until, streamed):
    async def wait(request, response=None):
        await asyncio.Event().wait()

    if streamed:
        upstream.stream(START, then=wait)
    else:
        upstream.script = wait
    asking = asyncio.create_task(http.post(f"{rest}/v1/messages", json={**ASKED, "stream": streamed}))
    await until(lambda: upstream.requests)
    if streamed:
        (await asking).close()
    else:
        asking.cancel()
    async with asyncio.timeout(5):
        await upstream.closed.wait()


async def test_a_backend_that_stops_in_mid_stream_is_an_error_event(serve, anthropic, until, upstream, http, gateway):
    async def then(request, response):
        await asyncio.Event().wait()

    upstream.stream(START, then=then)
    async with serve(anthropic) as proxy, gateway(proxy.address, until) as url:
        async with http.post(f"{url}/v1/messages", json={**ASKED, "stream": True}) as answer:
            await answer.content.readuntil(b"\n\n")
            await proxy.stop()
            assert (await answer.read()).startswith(b"event: error\n")
        await until(lambda: proxy.stopped)
        async with asyncio.timeout(10):
            while (await http.get(f"{url}/status")).status != 503:
                await asyncio.sleep(0.02)
        async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (503, "overloaded_error")


async def test_a_body_above_the_limit_is_a_413_whether_or_not_its_length_was_said(proxy, until, http, gateway):
    async def chunks():
        for _ in range(10):
            yield b"x" * 100

    async with gateway(proxy.address, until, max_body_bytes=500) as url:
        for body in (b"x" * 1000, chunks()):
            async with http.post(f"{url}/v1/messages", data=body) as answer:
                told = await answer.json()
                assert (answer.status, told["error"]["type"], told["limit"]) == (413, "request_too_large", 500)


async def test_the_status_scripts_of_the_documentation_read_what_they_need(rest, http):
    async with http.get(f"{rest}/status") as answer:
        told = await answer.json()
    assert (told["status"], told["providers"]) == ("running", {"count": 1, "active": ["anthropic"]})


async def test_health_says_more_to_localhost(rest, http):
    async with http.get(f"{rest}/health") as answer:
        told = await answer.json()
    assert (answer.status, told["status"], told["state"]) == (200, "healthy", "ready")
    assert told["performance"]["memory_mb"] > 1
    assert told["providers"]["details"]["anthropic"]["healthy"] is True


async def test_health_counts_requests_without_asking_for_them(rest, http, proxy, upstream):
    async def told():
        async with http.get(f"{rest}/health") as answer:
            return (await answer.json())["performance"]

    assert (await told())["requests"] == {"total": 0, "success": 0, "failed": 0}
    upstream.answer(200, json.dumps({**MESSAGE, "usage": {}}).encode())
    for _ in range(2):
        async with http.post(f"{rest}/v1/messages", json=ASKED) as answer:
            assert answer.status == 200
    async with asyncio.timeout(10):
        while (performance := await told())["requests"]["success"] < 2:
            await asyncio.sleep(0.05)
    assert performance["requests"] == {"total": 2, "success": 2, "failed": 0}
    assert performance["latency"]["p99_ms"] > 0
    asked = await proxy.stub.GetHealth(llmproxy_pb2.GetHealthRequest())
    assert (asked.requests_succeeded, asked.status.activity.requests_succeeded) == (2, 2)


async def test_requests_that_come_together_are_one_change_of_the_status(rest, http, proxy, upstream):
    upstream.answer(200, json.dumps({**MESSAGE, "usage": {}}).encode())
    documents = []
    watching = proxy.stub.WatchStatus(llmproxy_pb2.WatchStatusRequest())
    await watching.read()
    for _ in range(10):
        async with http.post(f"{rest}/v1/messages", json=ASKED) as answer:
            assert answer.status == 200
    async with asyncio.timeout(20):
        while not documents or documents[-1].activity.requests_succeeded < 10:
            documents.append((await watching.read()).status)
    watching.cancel()
    assert len({one.activity.requests_succeeded for one in documents}) < 10


async def test_the_process_starts_serves_and_leaves_with_zero(until, http, tmp_path, gateway):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.llmproxy", "--address", "127.0.0.1:0", "--metrics-address", "", "--drain-seconds", "0"),
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ANTHROPIC_API_KEY": "sk-x", "CCPROXY_VERSION": "9.9.9"},
    )
    try:
        async with asyncio.timeout(30):
            while (line := json.loads(await process.stderr.readline()))["message"] != "listening":
                pass
        async with gateway(line["address"], until) as url, http.get(f"{url}/status") as answer:
            told = await answer.json()
        assert (told["version"], told["pid"]) == ("9.9.9", process.pid)
        assert told["providers"] == {"count": 2, "active": ["anthropic", "local"]}
        process.terminate()
        async with asyncio.timeout(30):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
