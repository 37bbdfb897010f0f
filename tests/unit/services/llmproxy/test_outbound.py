import pytest

from services.llmproxy.outbound import proxies_of, proxy_of

SOME = {
    "HTTPS_PROXY": "http://secure:1",
    "http_proxy": "plain:2",
    "NO_PROXY": "localhost, .internal,10.0.0.1,one.test:80,",
}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://api.openai.com/v1", "http://secure:1"),
        ("http://api.openai.com/v1", "http://plain:2"),
        ("http://localhost:11434/v1", ""),
        ("https://llm.internal/v1", ""),
        ("http://10.0.0.1:8000", ""),
        ("http://one.test:81/v1", "http://plain:2"),
        ("http://one.test:80/v1", ""),
        ("http://notlocalhost/v1", "http://plain:2"),
        ("", ""),
    ],
)
def test_the_environment_decides_by_scheme_and_host(url, proxy):
    assert proxy_of(url, proxies_of(SOME)) == proxy


def test_names_in_lower_case_win_and_all_is_for_the_rest():
    assert proxies_of({"https_proxy": "a", "HTTPS_PROXY": "b"}) == {"https": "a"}
    assert proxy_of("https://x.test", proxies_of({"ALL_PROXY": "http://all:3"})) == "http://all:3"
    assert proxy_of("https://x.test", proxies_of({**SOME, "no_proxy": "*"})) == ""
    assert proxies_of({"PROXY": "x", "MY_PROXY": "y", "https_proxy_x": "z"}) == {}
