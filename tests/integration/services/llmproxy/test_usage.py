"""Who spent what: from a request through the gateway to `/usage`, over a restart, and past a disk that is full."""

import asyncio
import json
import sys

import aiohttp
import aiohttp.web
import pytest
from pydantic import SecretStr

from services.llmproxy.budget import Budgets
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.routing import Route

PROMPT = "planted-prompt-5c1f"
CLIENT_KEY = "planted-client-key-77aa"
ASKED = {"model": "claude-x", "max_tokens": 8, "messages": [{"role": "user", "content": PROMPT}]}
USAGE = {"input_tokens": 100, "output_tokens": 7, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 3}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [], "usage": USAGE}
SENT = {"x-api-key": CLIENT_KEY}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(headers=SENT) as session:
        yield session


def event(name, **fields):
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


START = event("message_start", message={**MESSAGE, "usage": {"input_tokens": 50, "output_tokens": 1}})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": PROMPT * 10})


async def usage(http, url, query=""):
    async with http.get(f"{url}/usage{query}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_request_is_found_in_the_usage_and_again_after_a_restart(
    serve, anthropic, upstream, until, gateway, http, tmp_path
):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    async with (
        serve(anthropic, usage_folder=tmp_path) as proxy,
        gateway(proxy.address, until, llmproxy_key=CLIENT_KEY) as url,
    ):
        for _ in range(2):
            async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
                assert answer.status == 200
        before = await usage(http, url, "?by=provider,model,key,outcome")
        (row,) = before["rows"]
        assert {name: row[name] for name in ("provider", "model", "outcome", "requests")} == {
            "provider": "anthropic",
            "model": "claude-x",
            "outcome": "ok",
            "requests": 2,
        }
        assert {name: row[name] for name in USAGE} == {name: 2 * count for name, count in USAGE.items()}
        assert 0 < row["average_first_byte_ms"] <= row["average_total_ms"]
        assert len(row["key"]) == 12
    async with (
        serve(anthropic, usage_folder=tmp_path) as proxy,
        gateway(proxy.address, until, llmproxy_key=CLIENT_KEY) as url,
    ):
        assert await usage(http, url, "?by=provider,model,key,outcome") == before
        assert [minute.requests for minute in proxy.servicer._status().activity.minutes] in ([2], [1, 1])
    for path in tmp_path.iterdir():
        written = path.read_bytes()
        assert PROMPT.encode() not in written
        assert CLIENT_KEY.encode() not in written


async def test_every_end_of_a_request_is_told_apart(serve, anthropic, upstream, until, gateway, http):
    async with serve(anthropic) as proxy, gateway(proxy.address, until, llmproxy_key=CLIENT_KEY) as url:
        outcomes = {}

        async def ask(stream=False):
            async with http.post(f"{url}/v1/messages", json={**ASKED, "stream": stream}) as answer:
                await answer.read()

        upstream.answer(200, json.dumps(MESSAGE).encode())
        await ask()
        upstream.answer(529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
        await ask()
        upstream.stream(START, DELTA)
        await ask(stream=True)

        async def hang(request, response):
            await asyncio.Event().wait()

        upstream.stream(START, DELTA, then=hang)
        answer = await http.post(f"{url}/v1/messages", json={**ASKED, "stream": True})
        await answer.content.readuntil(PROMPT.encode())
        answer.close()
        async with http.post(f"{url}/v1/messages", data=b"{}") as answer:
            assert answer.status == 400

        async def all_told():
            rows = (await usage(http, url, "?by=outcome"))["rows"]
            outcomes.update({row["outcome"]: row for row in rows})
            return set(outcomes) == {"ok", "529", "torn", "cancelled", "400"}

        async with asyncio.timeout(10):
            while not await all_told():
                await asyncio.sleep(0.02)
        for outcome in ("torn", "cancelled"):  # what was written for the client is spent, whoever left
            assert outcomes[outcome]["input_tokens"] == 50
            assert outcomes[outcome]["output_tokens"] >= len(PROMPT) * 10 // 4
            assert outcomes[outcome]["estimated_requests"] == 1
        totals = (await usage(http, url))["totals"]
        assert (totals["requests"], totals["failed"]) == (5, 4)
        async with http.get(f"{url}/usage/requests") as answer:
            listed = {one["outcome"]: one for one in (await answer.json())["requests"]}
        assert (listed["400"]["provider"], listed["400"]["first_byte_ms"]) == ("", None)


async def test_repeats_are_counted(serve, upstream, until, gateway, http):
    providers = [
        ProviderConfiguration(name, "anthropic", f"{upstream.url}/{name}", SecretStr("sk-x")) for name in ("a", "b")
    ]
    routes = {"default": Route("a", "m", fallbacks=[("b", "m")])}

    async def script(request):
        if request.path.startswith("/a"):
            return aiohttp.web.Response(status=529, body=b"{}")
        return aiohttp.web.json_response(MESSAGE)

    upstream.script = script
    async with (
        serve(*providers, routes=routes, retries=1) as proxy,
        gateway(proxy.address, until, llmproxy_key=CLIENT_KEY) as url,
    ):
        async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
            assert answer.status == 200
        async with http.get(f"{url}/usage/requests") as answer:
            (latest,) = (await answer.json())["requests"]
        assert (latest["provider"], latest["asked_model"], latest["model"]) == ("b", "claude-x", "m")
        assert (latest["retries"], latest["fallbacks"]) == (1, 1)
        routed = proxy.servicer._status().routes
        assert [(one.name, list(one.targets)) for one in routed] == [("default", ["a,m", "b,m"])]


async def test_a_folder_that_cannot_be_written_fails_no_request_and_is_told(
    serve, anthropic, upstream, until, gateway, http, tmp_path
):
    (tmp_path / "file").touch()
    upstream.answer(200, json.dumps(MESSAGE).encode())
    async with (
        serve(anthropic, usage_folder=tmp_path / "file") as proxy,
        gateway(proxy.address, until, llmproxy_key=CLIENT_KEY) as url,
    ):
        async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
            assert answer.status == 200
        async with http.get(f"{url}/usage") as answer:
            assert answer.status == 503
            assert "Usage is not available" in (await answer.json())["error"]["message"]
        async with http.get(f"{url}/health") as answer:
            told = await answer.json()
        assert (answer.status, told["status"]) == (200, "healthy")
        assert told["components"]["llmproxy.usage"]["state"] == "error"
        (tmp_path / "file").unlink()
        async with asyncio.timeout(10):
            while (await http.get(f"{url}/usage")).status != 200:
                await asyncio.sleep(0.05)
        assert (await usage(http, url))["totals"]["requests"] == 1


async def test_a_disk_that_fills_up_fails_no_request_of_the_real_process(upstream, until, gateway, http, tmp_path):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    folder = tmp_path / "usage"
    configuration = tmp_path / "config.json"
    provider = {"name": "mine", "api_base_url": upstream.url, "message_format": "anthropic", "models": ["m"]}
    configuration.write_text(json.dumps({"providers": [provider]}))
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'ulimit -f 192 && exec "$@"', "sh"),  # no file may grow beyond 96 KiB
        *(sys.executable, "-m", "services.llmproxy", "--address", "127.0.0.1:0", "--metrics-address", "off"),
        *("--drain-seconds", "0", "--usage-dir", str(folder), "--ccproxy-config", str(configuration)),
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    try:
        async with asyncio.timeout(40):
            while (line := json.loads(await process.stderr.readline()))["message"] != "listening":
                pass
            reading = asyncio.create_task(process.stderr.read())
            async with gateway(line["address"], until, llmproxy_key=CLIENT_KEY) as url:
                answered = 0
                while True:
                    async with http.post(f"{url}/v1/messages", json={**ASKED, "model": f"mine,m{answered}"}) as answer:
                        assert answer.status == 200
                        answered += 1
                    if answered % 50 == 0:
                        async with http.get(f"{url}/health") as answer:
                            if (await answer.json())["components"]["llmproxy.usage"]["state"] == "error":
                                break
                assert (await http.get(f"{url}/status")).status == 200
        process.terminate()
        async with asyncio.timeout(30):
            said = (await reading).decode()
            await process.wait()
        assert process.returncode == 0
        assert '"message":"usage cannot be written"' in said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_key_that_has_spent_its_budget_is_refused_and_another_is_not(
    serve, anthropic, upstream, until, gateway, http
):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    async with (
        serve(anthropic, budgets=Budgets(per_day=200)) as proxy,
        gateway(proxy.address, until, llmproxy_key=CLIENT_KEY, llmproxy_keys="second, third") as url,
    ):
        for remaining in ("200", "50"):
            async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
                assert (answer.status, answer.headers["x-pulsegate-budget-remaining"]) == (200, remaining)
        for path, body in (("/v1/messages", ASKED), ("/v1/chat/completions", ASKED)):
            async with http.post(f"{url}{path}", json=body) as answer:
                told = (await answer.json())["error"]
                assert (answer.status, told["type"]) == (429, "rate_limit_error")
                assert "300 of 200 tokens today" in told["message"]
                assert 0 < int(answer.headers["retry-after"]) <= 86400
                assert answer.headers["x-should-retry"] == "false"
        assert len(upstream.requests) == 2
        async with http.post(f"{url}/v1/messages", json=ASKED, headers={"x-api-key": "third"}) as answer:
            assert answer.status == 200
        told = await usage(http, url, "?by=key,outcome")
        assert {row["outcome"] for row in told["rows"]} == {"ok", "429"}
        assert len({row["key"] for row in told["rows"]}) == 2

        async def told_of_both():
            budgets = (await usage(http, url)).get("budgets", [])
            return sorted((one["spent_tokens"], one["remaining_tokens"]) for one in budgets)

        async with asyncio.timeout(10):
            while await told_of_both() != [(150, 50), (300, 0)]:
                await asyncio.sleep(0.05)


async def test_what_another_replica_answered_counts_too(serve, anthropic, upstream, until, gateway, http):
    upstream.answer(200, json.dumps(MESSAGE).encode())
    async with (
        serve(anthropic, budgets=Budgets(per_month=140)) as one,
        serve(anthropic, budgets=Budgets(per_month=140)) as two,
        gateway(f"{one.address},{two.address}", until, llmproxy_key=CLIENT_KEY) as url,
    ):
        async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
            assert answer.status == 200

        async def spent():
            return [one["spent_tokens"] for one in (await usage(http, url)).get("budgets", [])]

        async with asyncio.timeout(10):
            while await spent() != [150]:
                await asyncio.sleep(0.05)
        for _ in range(4):
            async with http.post(f"{url}/v1/messages", json=ASKED) as answer:
                assert answer.status == 429
        assert (await usage(http, url))["totals"]["requests"] == 5
