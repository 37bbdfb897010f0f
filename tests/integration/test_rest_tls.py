"""The REST ports with certificates, which are replaced while they serve."""

import asyncio
import shutil
import ssl
from contextlib import asynccontextmanager

import httpx
import pytest
from cryptography import x509
from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from commands import operator
from gateway.app import create_app
from gateway.bridge import Bridge
from gateway.front import Front, Site
from gateway.listeners import Listeners, bind, read_certificate
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings
from gateway.snapshots import Snapshots
from gateway.usage import Usage
from tests.integration.authority import Authority


@pytest.fixture
def authority():
    return Authority()


@asynccontextmanager
async def serving(context):
    """Serve one probe and what tells of its request; yield the port."""
    views = Blueprint("views", __name__)

    @views.get("/api/status")
    def status():
        return jsonify(status="ok")

    @views.get("/api/services")
    def services():
        return jsonify(backends=[], scheme=request.scheme, sent=request.headers.get("Authorization"))

    app = create_app("thing", views, lambda status, _error: Response(status=status), 1000)
    bound, usage, snapshots = bind("thing", "127.0.0.1", 0), Usage(), Snapshots(lambda: 1, lambda: 7.0)
    port = bound.getsockname()[1]
    site = Site("thing", Bridge(app, 1000), frozenset({"/api/status"}))
    front = Front({port: site}, 0, snapshots, Metrics(CollectorRegistry()), usage)
    server = Listeners(front, snapshots, usage, 1, {port: context} if context else None)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield port
    finally:
        server.should_exit = True
        await task


def trusting(files):
    return httpx.AsyncClient(verify=ssl.create_default_context(cafile=files.authority))


async def common_name(port):
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ssl._create_unverified_context())
    certificate = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    writer.close()
    return certificate.subject.rfc4514_string()


async def test_rest_is_answered_over_tls_from_memory_and_by_views(authority, tmp_path):
    files = authority.files(tmp_path, "127.0.0.1")
    async with serving(files.http_context()) as port, trusting(files) as http:
        base = f"https://127.0.0.1:{port}"
        for _ in range(3):
            assert (await http.get(f"{base}/api/status")).json() == {"status": "ok"}
        answer = await http.get(f"{base}/api/services")
        assert (answer.http_version, answer.json()["scheme"]) == ("HTTP/1.1", "https")


async def test_plain_http_gets_no_answer_from_a_port_with_a_certificate(authority, tmp_path):
    async with serving(authority.files(tmp_path, "127.0.0.1").http_context()) as port, httpx.AsyncClient() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{port}/api/status")


async def test_old_tls_is_refused(authority, tmp_path):
    assert authority.files(tmp_path, "127.0.0.1").http_context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_replaced_certificate_counts_from_the_next_handshake_and_open_connections_stay(
    authority, tmp_path, until
):
    files = authority.files(tmp_path, "127.0.0.1", "first")
    context = files.http_context()
    following = asyncio.create_task(files.follow(context, interval_seconds=0.01))
    async with serving(context) as port, trusting(files) as http:
        base = f"https://127.0.0.1:{port}"
        assert (await http.get(f"{base}/api/status")).status_code == 200
        assert await common_name(port) == "CN=first"
        authority.files(tmp_path / "new", "127.0.0.1", "second")
        shutil.copy(tmp_path / "new" / "tls.key", files.key)  # half a pair: nothing changes yet
        await asyncio.sleep(0.05)
        assert await common_name(port) == "CN=first"
        shutil.copy(tmp_path / "new" / "tls.crt", files.certificate)
        async with asyncio.timeout(10):
            while await common_name(port) != "CN=second":
                await asyncio.sleep(0.01)
        assert (await http.get(f"{base}/api/status")).status_code == 200
    following.cancel()


@pytest.mark.parametrize("name", ["converter", "media", "llmproxy", "operator"])
def test_a_port_has_its_own_certificate_or_the_common_one(authority, tmp_path, name):
    own, common = authority.files(tmp_path / "own", "a"), authority.files(tmp_path / "common", "a")
    every = {"tls_certificate": str(common.certificate), "tls_key": str(common.key)}
    one = {f"{name}_tls_certificate": str(own.certificate), f"{name}_tls_key": str(own.key)}
    assert GatewaySettings(**every).tls(name).certificate == common.certificate
    assert GatewaySettings(**every, **one).tls(name).certificate == own.certificate
    assert GatewaySettings(**one).tls("media" if name != "media" else "operator") is None


def test_the_documented_variables_name_the_certificate_of_the_media_server(authority, tmp_path, monkeypatch):
    files = authority.files(tmp_path, "a")
    monkeypatch.setenv("ICEY_TLS_CERT", str(files.certificate))
    monkeypatch.setenv("ICEY_TLS_KEY", str(files.key))
    assert GatewaySettings().scheme("media") == "https"
    assert GatewaySettings().scheme("converter") == "http"


@pytest.mark.parametrize("lacking", ["tls.crt", "tls.key"])
def test_a_certificate_that_is_not_there_is_a_wrong_setting(authority, tmp_path, lacking):
    files = authority.files(tmp_path, "a")
    (tmp_path / lacking).unlink()
    with pytest.raises(ValidationError, match="there is no file"):
        GatewaySettings(media_tls_certificate=str(files.certificate), media_tls_key=str(files.key))
    with pytest.raises(ValidationError, match="belong together"):
        GatewaySettings(tls_certificate=str(files.certificate))


def test_a_key_of_another_certificate_is_told_in_one_line(authority, tmp_path, capsys):
    one, other = authority.files(tmp_path / "one", "a"), authority.files(tmp_path / "other", "a")
    settings = GatewaySettings(tls_certificate=str(one.certificate), tls_key=str(other.key))
    with pytest.raises(SystemExit) as exit_:
        read_certificate("media", settings)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("Error: certificate of the media port: ")


async def test_commands_of_this_machine_believe_its_own_certificate_and_send_the_token(
    authority, tmp_path, monkeypatch
):
    files = authority.files(tmp_path, "gateway.example.org")
    other = authority.files(tmp_path / "other", "gateway.example.org")
    async with serving(files.http_context()) as port:
        url = f"https://127.0.0.1:{port}"
        monkeypatch.setenv("PULSEGATE_GATEWAY_OPERATOR_TOKEN", "secret")
        monkeypatch.setenv("PULSEGATE_GATEWAY_OPERATOR_PORT", str(port))
        for right, chosen in ((True, files), (False, other)):
            monkeypatch.setenv("PULSEGATE_GATEWAY_TLS_CERTIFICATE", str(chosen.certificate))
            monkeypatch.setenv("PULSEGATE_GATEWAY_TLS_KEY", str(chosen.key))
            assert operator.default_url() == url
            if right:
                assert (await asyncio.to_thread(operator.fetch, url))["sent"] == "Bearer secret"
            else:
                with pytest.raises(operator.Unanswered, match="certificate verify failed"):
                    await asyncio.to_thread(operator.fetch, url)
