"""The gateway's operator port, as a command asks it."""

import argparse
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from gateway.peer import is_loopback
from gateway.settings import GatewaySettings
from runtime.settings import current

TIMEOUT_SECONDS = 10.0  # the gateway speaks at least every 2 seconds

Json = dict[str, Any]


class Unanswered(Exception):
    """The gateway did not answer as it does."""


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says where the gateway's operator port is."""
    parser.add_argument(
        "--gateway", metavar="URL", default=default_url(), help="the gateway's operator port (default: %(default)s)"
    )


def default_url() -> str:
    """Tell where a gateway with this environment and settings file listens for operators."""
    settings = current(GatewaySettings)
    if settings is None:
        return "http://127.0.0.1:8080"
    host, port = settings.listener("operator")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  an address to call, not to bind
    return f"{settings.scheme('operator')}://{f'[{host}]' if ':' in host else host}:{port}"


def fetch(url: str) -> Json:
    """Ask once for everything the gateway knows; raises ``Unanswered``."""
    with closing(_connect(url)) as connection, _unanswered(url):
        document = json.load(_get(connection, url, "/api/services"))
    if not isinstance(document, dict) or "backends" not in document:
        raise Unanswered(f"{url} is no operator port of a gateway")
    return document


def follow(url: str) -> Iterator[Json]:
    """Yield the same at once and on every change; raises ``Unanswered`` when the gateway is gone."""
    with closing(_connect(url)) as connection, _unanswered(url):
        for line in _get(connection, url, "/api/events"):
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
    raise Unanswered(f"the gateway at {url} has ended the stream")


class _unanswered:  # noqa: N801  reads as the statement it stands in
    """Turn what can go wrong on the way into ``Unanswered``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError | HTTPException | ValueError):
            raise Unanswered(f"no answer from the gateway at {self._url}: {error}") from None


def _connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Unanswered(f"{url} is no address of a gateway, such as http://127.0.0.1:8080")
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    return HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS, context=_trust(parts.hostname))


def _trust(host: str) -> ssl.SSLContext:
    """Believe the certificate that this machine's own gateway has, whatever name is in it; elsewhere the usual ones."""
    settings = current(GatewaySettings)
    own = settings.tls("operator") if settings and is_loopback(host) else None
    if own is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(own.certificate)
    return context


def _headers() -> dict[str, str]:
    settings = current(GatewaySettings)
    token = settings.operator_token.get_secret_value() if settings else ""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _get(connection: HTTPConnection, url: str, path: str) -> HTTPResponse:
    connection.request("GET", urlsplit(url).path.rstrip("/") + path, headers=_headers())
    response = connection.getresponse()
    if response.status != 200:
        raise Unanswered(f"{url}{path} answers {response.status} {response.reason}")
    return response
