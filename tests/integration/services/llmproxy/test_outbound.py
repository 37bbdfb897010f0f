import json

from pydantic import SecretStr

from services.llmproxy.configuration import ProviderConfiguration

BODY = json.dumps({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}).encode()
WHOLE = b'{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}'


async def test_a_provider_is_asked_through_the_environments_proxy_unless_its_host_is_excepted(serve, upstream):
    upstream.answer(200, WHOLE)
    far = ProviderConfiguration("far", "openai", "http://vendor.test/v1", SecretStr("sk-x"), ("m",))
    async with serve(far, proxies={"http": upstream.url}) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert answer.head.status == 200
    assert upstream.requests[0][2]["Host"] == "vendor.test"
    near = ProviderConfiguration("near", "openai", f"{upstream.url}/v1", SecretStr("sk-x"), ("m",))
    async with serve(near, proxies={"http": "http://127.0.0.1:1", "no": "127.0.0.1"}) as proxy:
        (answer,) = await proxy.answers(BODY)
    assert answer.head.status == 200
