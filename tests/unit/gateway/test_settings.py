import pytest

from gateway.settings import GatewaySettings
from runtime.settings import load


@pytest.fixture(autouse=True)
def no_inherited_variables(monkeypatch):
    for name in ("HOST", "PORT", "ICEY_PORT", "CCPROXY_PORT", "CCPROXY_API_KEY", "PULSEGATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_the_documented_ports_on_loopback():
    settings = load(GatewaySettings, [])
    listeners = {name: settings.listener(name) for name in ("converter", "media", "llmproxy", "operator")}
    assert listeners == {
        "converter": ("127.0.0.1", 5000),
        "media": ("127.0.0.1", 4500),
        "llmproxy": ("127.0.0.1", 3456),
        "operator": ("127.0.0.1", 8080),
    }


def test_the_documented_variables_of_the_originals_work(monkeypatch):
    monkeypatch.setenv("PORT", "5001")
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("ICEY_PORT", "4501")
    monkeypatch.setenv("CCPROXY_PORT", "3457")
    monkeypatch.setenv("CCPROXY_API_KEY", "key")
    settings = load(GatewaySettings, [])
    assert settings.listener("converter") == ("0.0.0.0", 5001)
    assert settings.listener("media") == ("127.0.0.1", 4501)
    assert settings.listener("llmproxy") == ("127.0.0.1", 3457)
    assert settings.llmproxy_key.get_secret_value() == "key"


def test_the_llm_api_stays_on_loopback_while_no_key_is_set(monkeypatch):
    assert load(GatewaySettings, ["--host", "0.0.0.0"]).listener("llmproxy")[0] == "127.0.0.1"
    monkeypatch.setenv("CCPROXY_API_KEY", "key")
    assert load(GatewaySettings, ["--host", "0.0.0.0"]).listener("llmproxy")[0] == "0.0.0.0"


def test_trusted_proxies_are_networks(monkeypatch):
    monkeypatch.setenv("PULSEGATE_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1")
    assert [str(network) for network in load(GatewaySettings, []).trusted_proxies] == ["10.0.0.0/8", "127.0.0.1/32"]


def test_a_secret_has_no_flag(capsys):
    with pytest.raises(SystemExit) as exit_:
        load(GatewaySettings, ["--llmproxy-key", "k"])
    assert exit_.value.code == 2
