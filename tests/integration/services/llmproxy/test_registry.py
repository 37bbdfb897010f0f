import asyncio
import json

import grpc
import pytest

from gen.llmproxy.v1 import llmproxy_pb2 as pb

KEY = "sk-planted-0123456789abcdef"
BODY = json.dumps({"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}).encode()
STREAM = json.dumps(
    {"model": "claude-x", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
).encode()
MESSAGE = b'{"type":"message","model":"claude-x","content":[]}'


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    return path


@pytest.fixture
async def proxy(serve, path):
    async with serve(path=path) as proxy:
        yield proxy


def document(upstream, **fields):
    provider = {"name": "anthropic", "api_base_url": upstream.url, "api_key": KEY, "message_format": "anthropic"}
    return {"providers": [{**provider, **fields}]}


async def listed(proxy):
    return {one.name: one for one in (await proxy.stub.ListProviders(pb.ListProvidersRequest())).providers}


async def code_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return failure.value.code(), failure.value.details()


async def create(proxy, upstream, **fields):
    request = pb.CreateProviderRequest(name="anthropic", api_base_url=upstream.url, api_key=KEY, **fields)
    return (await proxy.stub.CreateProvider(request)).provider


async def test_a_created_provider_is_saved_shown_masked_and_used_at_once(proxy, upstream, path):
    created = await create(proxy, upstream, models=["claude-x"])
    assert created.api_key == f"sk-p{'*' * (len(KEY) - 8)}cdef"
    assert (created.enabled, created.message_format) == (True, "anthropic")
    assert json.loads(path.read_text())["providers"][0]["api_key"] == KEY
    assert path.stat().st_mode & 0o777 == 0o600
    upstream.answer(200, MESSAGE)
    (answer,) = await proxy.answers(BODY)
    assert (answer.head.status, answer.head.provider) == (200, "anthropic")
    assert proxy.health.serving("llmproxy.provider.anthropic")


async def test_a_taken_name_an_unknown_one_and_a_broken_rule_are_told_apart(proxy, upstream):
    await create(proxy, upstream)
    request = pb.CreateProviderRequest(name="anthropic")
    assert await code_of(proxy.stub.CreateProvider(request)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "Provider 'anthropic' already exists",
    )
    assert await code_of(proxy.stub.GetProvider(pb.GetProviderRequest(name="x"))) == (
        grpc.StatusCode.NOT_FOUND,
        "Provider 'x' not found",
    )
    code, details = await code_of(proxy.stub.CreateProvider(pb.CreateProviderRequest(name="y", api_base_url="ftp://y")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "must use http or https scheme" in details


async def test_a_refused_change_leaves_everything_as_it_was(proxy, upstream, path):
    await create(proxy, upstream)
    before = path.read_text()
    await code_of(proxy.stub.UpdateProvider(pb.UpdateProviderRequest(name="anthropic", api_base_url="ftp://y")))
    assert path.read_text() == before
    assert (await listed(proxy))["anthropic"].api_base_url == upstream.url


async def test_an_update_changes_what_is_given_and_a_masked_key_nothing(proxy, upstream, path):
    shown = (await create(proxy, upstream)).api_key
    request = pb.UpdateProviderRequest(name="anthropic", api_key=shown, models=pb.ModelList(models=["m"]))
    updated = (await proxy.stub.UpdateProvider(request)).provider
    assert (list(updated.models), updated.api_base_url) == (["m"], upstream.url)
    assert json.loads(path.read_text())["providers"][0]["api_key"] == KEY


async def test_a_rename_takes_the_routes_along(proxy, upstream, path):
    path.write_text(json.dumps({**document(upstream), "routes": {"default": {"provider": "anthropic"}}}))
    await proxy.registry.reload()
    await proxy.stub.UpdateProvider(
        pb.UpdateProviderRequest(name="anthropic", new_name="mine", models=pb.ModelList(models=["claude-x"]))
    )
    upstream.answer(200, MESSAGE)
    (answer,) = await proxy.answers(BODY)
    assert answer.head.provider == "mine"
    assert not proxy.health.serving("llmproxy.provider.anthropic")
    assert proxy.health.serving("llmproxy.provider.mine")


async def test_a_deleted_provider_is_gone_at_once(proxy, upstream):
    await create(proxy, upstream)
    await proxy.stub.DeleteProvider(pb.DeleteProviderRequest(name="anthropic"))
    assert "anthropic" not in await listed(proxy)
    (answer,) = await proxy.answers(json.dumps({**json.loads(BODY), "model": "anthropic,claude-x"}).encode())
    assert answer.head.status == 404


async def test_what_a_route_needs_or_no_file_has_cannot_be_deleted(proxy, upstream, path):
    path.write_text(json.dumps({**document(upstream), "routes": {"default": {"provider": "anthropic"}}}))
    await proxy.registry.reload()
    for name, words in (("anthropic", "needed by the routes: default"), ("local", "can only be disabled")):
        code, details = await code_of(proxy.stub.DeleteProvider(pb.DeleteProviderRequest(name=name)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert words in details


async def test_a_fallback_is_needed_too_and_is_renamed_along(proxy, upstream, path):
    routes = {"default": {"provider": "local", "fallbacks": ["anthropic, claude-x", "local"]}}
    path.write_text(json.dumps({**document(upstream), "routes": routes}))
    await proxy.registry.reload()
    code, details = await code_of(proxy.stub.DeleteProvider(pb.DeleteProviderRequest(name="anthropic")))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "needed by the routes: default" in details
    await proxy.stub.UpdateProvider(
        pb.UpdateProviderRequest(name="anthropic", new_name="mine", models=pb.ModelList(models=["claude-x"]))
    )
    assert json.loads(path.read_text())["routes"]["default"]["fallbacks"] == ["mine,claude-x", "local"]


async def test_a_toggle_flips_and_flips_back(proxy, upstream):
    await create(proxy, upstream)
    toggle = pb.ToggleProviderRequest(name="anthropic")
    assert not (await proxy.stub.ToggleProvider(toggle)).enabled
    (answer,) = await proxy.answers(json.dumps({**json.loads(BODY), "model": "anthropic,claude-x"}).encode())
    assert answer.head.status == 404
    assert (await proxy.stub.ToggleProvider(toggle)).enabled


async def test_the_embedded_model_can_be_disabled(proxy):
    assert not (await proxy.stub.ToggleProvider(pb.ToggleProviderRequest(name="local"))).enabled
    (answer,) = await proxy.answers(BODY)
    assert (answer.head.status, json.loads(answer.data)["error"]["code"]) == (404, "model_not_found")


async def test_variables_in_the_file_survive_a_change(serve, path, upstream):
    path.write_text(json.dumps(document(upstream, api_key="${SECRET}")))
    async with serve(path=path, environment={"SECRET": KEY}) as proxy:
        await proxy.stub.ToggleProvider(pb.ToggleProviderRequest(name="anthropic"))
        assert json.loads(path.read_text())["providers"][0]["api_key"] == "${SECRET}"


async def test_a_changed_file_is_used_without_dropping_a_stream(proxy, upstream, path, until):
    await create(proxy, upstream)
    hold = asyncio.Event()

    async def then(request, response):
        await hold.wait()
        await response.write(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

    upstream.stream(b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n', then=then)
    call = proxy.ask(STREAM)
    assert (await anext(aiter(call))).event == "message_start"
    following = asyncio.create_task(proxy.registry.follow())
    path.write_text(json.dumps({"providers": []}))
    await until(lambda: "anthropic" not in proxy.catalog.entries)
    hold.set()
    assert [answer.event async for answer in call] == ["message_stop"]
    following.cancel()


async def test_a_broken_file_keeps_the_old_configuration_and_says_so(proxy, upstream, path, until):
    await create(proxy, upstream)
    following = asyncio.create_task(proxy.registry.follow())
    path.write_text("{broken")
    await until(lambda: not proxy.health.serving("llmproxy.config"))
    assert "anthropic" in proxy.catalog.entries
    assert proxy.health.serving()
    reasons = {one.name: one.last_error for one in proxy.health.report()}
    assert str(path) in reasons["llmproxy.config"]
    path.write_text(json.dumps(document(upstream)))
    proxy.registry.reload_soon()
    await until(lambda: proxy.health.serving("llmproxy.config"))
    following.cancel()


async def test_a_reload_does_not_disturb_what_stays(proxy, upstream, path):
    await create(proxy, upstream)
    before = {name: entry.provider for name, entry in proxy.catalog.entries.items()}
    path.write_text(json.dumps({**document(upstream, models=["new"]), "routes": {"default": {"provider": "local"}}}))
    await proxy.registry.reload()
    assert {name: entry.provider for name, entry in proxy.catalog.entries.items()} == before
    assert proxy.catalog.entries["anthropic"].configured.models == ("new",)
