import json
from ipaddress import IPv4Network

import pytest

from gateway.ccproxy import lay_under
from gateway.settings import GatewaySettings


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "config.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


@pytest.mark.parametrize("name", ["apikey", "api_key"])
def test_the_files_listener_and_key_are_used(write, name):
    path = write({"host": "0.0.0.0", "port": 1234, name: "secret"})
    settings = lay_under(GatewaySettings(ccproxy_config=path))
    assert settings.listener("llmproxy") == ("0.0.0.0", 1234)
    assert settings.llmproxy_key.get_secret_value() == "secret"


def test_what_was_said_elsewhere_wins(write):
    path = write({"host": "0.0.0.0", "port": 1234, "apikey": "file"})
    settings = lay_under(GatewaySettings(ccproxy_config=path, llmproxy_port=99, llmproxy_key="flag"))
    assert (settings.llmproxy_port, settings.llmproxy_key.get_secret_value()) == (99, "flag")


def test_a_key_may_be_a_variable(write, monkeypatch):
    monkeypatch.setenv("OUR_KEY", "from the environment")
    settings = lay_under(GatewaySettings(ccproxy_config=write({"apikey": "${OUR_KEY}"})))
    assert settings.llmproxy_key.get_secret_value() == "from the environment"


def test_who_may_call_and_how_much_is_used(write):
    security = {
        "ip_whitelist": ["10.0.0.0/8"],
        "ip_blacklist": ["10.6.6.6"],
        "cors_origins": ["https://x.test"],
        "allowed_headers": ["x-mine"],
        "cors_enabled": False,
        "audit_enabled": True,
    }
    path = write({"security": security, "performance": {"max_request_body_size": 0}})
    settings = lay_under(GatewaySettings(ccproxy_config=path))
    assert settings.llmproxy_ip_whitelist == [IPv4Network("10.0.0.0/8")]
    assert settings.llmproxy_ip_blacklist == [IPv4Network("10.6.6.6/32")]
    assert (settings.llmproxy_cors_origins, settings.llmproxy_cors_headers) == (["https://x.test"], ["x-mine"])
    assert (settings.llmproxy_cors, settings.llmproxy_audit) == (False, True)
    assert settings.max_body("llmproxy") > settings.max_body("media") == 10_485_760


def test_the_documented_variables_of_access_are_taken(write, monkeypatch):
    monkeypatch.setenv("CCPROXY_SECURITY_IP_BLACKLIST", "10.6.6.6, 2001:db8::/32")
    monkeypatch.setenv("CCPROXY_PERFORMANCE_MAX_REQUEST_BODY_SIZE", "1000")
    path = write({"security": {"ip_blacklist": ["10.7.7.7"]}, "performance": {"max_request_body_size": 5}})
    settings = lay_under(GatewaySettings(ccproxy_config=path))
    assert [str(one) for one in settings.llmproxy_ip_blacklist] == ["10.6.6.6/32", "2001:db8::/32"]
    assert settings.max_body("llmproxy") == 1000


@pytest.mark.parametrize(
    "text",
    ["{", '{"security": {"ip_whitelist": ["x"]}, "performance": 5}', "[]", '{"port": "x", "host": 7, "apikey": null}'],
)
def test_what_cannot_be_read_changes_nothing(write, text):
    given = GatewaySettings(ccproxy_config=write(text))
    assert lay_under(given) == given


def test_without_a_file_nothing_changes(tmp_path):
    given = GatewaySettings(ccproxy_config=tmp_path / "none.json")
    assert lay_under(given) == given
