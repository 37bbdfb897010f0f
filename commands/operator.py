"""The gateway's operator port, as a command asks it."""

import argparse
import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from gateway.settings import GatewaySettings
from runtime.settings import explain

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
    told = {one.name: one.value for one in explain(GatewaySettings).settings}
    host = told.get("operator_host") or told.get("host") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  an address to call, not to bind
    return f"http://{f'[{host}]' if ':' in host else host}:{told.get('operator_port', '8080')}"


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
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)


def _get(connection: HTTPConnection, url: str, path: str) -> HTTPResponse:
    connection.request("GET", urlsplit(url).path.rstrip("/") + path)
    response = connection.getresponse()
    if response.status != 200:
        raise Unanswered(f"{url}{path} answers {response.status} {response.reason}")
    return response
