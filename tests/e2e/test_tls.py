"""The gateway process with certificates of its own on its REST ports."""

import json
import ssl
import urllib.request

import pytest

from tests.e2e.system import START_SECONDS, wait_for
from tests.integration.authority import Authority


@pytest.fixture
def files(tmp_path):
    return Authority().files(tmp_path / "certificates", "127.0.0.1")


def get(url, files):
    context = ssl.create_default_context(cafile=files.authority)
    with urllib.request.urlopen(url.replace("http://", "https://"), timeout=30, context=context) as answer:
        return answer.status, json.load(answer)


def test_every_port_is_encrypted_and_the_media_server_says_so(own_system, files):
    variables = {
        "PULSEGATE_GATEWAY_CONVERTER_TLS_CERTIFICATE": str(files.certificate),
        "PULSEGATE_GATEWAY_CONVERTER_TLS_KEY": str(files.key),
        "ICEY_TLS_CERT": str(files.certificate),
        "ICEY_TLS_KEY": str(files.key),
    }
    own_system.start("converter", "media", "gateway", **variables)
    wanted = {"converter": "serving", "media": "serving"}.items()
    wait_for(lambda: wanted <= (own_system.states() or {}).items(), START_SECONDS, "both to serve")
    connected = {"connected": True, "servidor": "localhost:10000"}
    for _ in range(2):  # by Flask, then from memory
        assert get(own_system.url("converter", "/api/status"), files) == (200, connected)
    status, report = get(own_system.url("media", "/api/ready"), files)
    assert (status, report["http"]["scheme"], report["http"]["tls"]) == (200, "https", True)
    assert report["tls"] == {"configured": True, "enabled": True, "certFile": "tls.crt"}
    (check,) = [one for one in report["checks"] if one["name"] == "tls"]
    assert check == {
        "name": "tls",
        "result": "pass",
        "detail": f"HTTPS/WSS enabled with certificate {files.certificate}",
    }
    document = own_system.get("operator", "/api/services")[1]  # has none, and says how the others are called
    urls = {one["name"]: one["url"].partition(":")[0] for one in document["backends"]}
    assert urls == {"converter": "https", "media": "https", "llmproxy": "http"}


def test_a_key_of_another_certificate_ends_the_process_with_one_line(own_system, files, tmp_path):
    other = Authority().files(tmp_path / "other", "127.0.0.1")
    own_system.start("gateway", ICEY_TLS_CERT=str(files.certificate), ICEY_TLS_KEY=str(other.key))
    assert own_system.processes["gateway"].wait(START_SECONDS) == 2
    assert own_system.log("gateway").read_text().count("\n") == 1
    assert "Error: certificate of the media port: " in own_system.log("gateway").read_text()
