"""The LLM proxy of this machine as a command finds it: where it listens, whether it answers, how clients reach it."""

import json
import ssl
import urllib.error
import urllib.request
from enum import Enum

from gateway import ccproxy
from gateway.settings import GatewaySettings
from runtime.settings import load

ASK_SECONDS = 3.0
API_TIMEOUT_MS = "600000"
ANY_TOKEN = "test"  # noqa: S105  what CCProxy sends; the true key goes in the other header


class Answer(Enum):
    """What is found where the LLM proxy should listen."""

    NOTHING = "nothing"
    NOT_READY = "not ready"
    READY = "ready"
    ANOTHER = "another program"


def settings() -> GatewaySettings:
    """Read what the gateway would be told here; exits like it on settings that would not do."""
    return ccproxy.lay_under(load(GatewaySettings, []))


def address(told: GatewaySettings) -> str:
    """Tell where clients on this machine reach the LLM API."""
    host, port = told.listener("llmproxy")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  an address to call, not to bind
    return f"{told.scheme('llmproxy')}://{f'[{host}]' if ':' in host else host}:{port}"


def key(told: GatewaySettings) -> str:
    """Return the key clients send; empty where none is asked for."""
    return next(iter(told.client_keys), "")


def environment(told: GatewaySettings) -> dict[str, str]:
    """Tell Claude Code's variables as CCProxy sets them."""
    variables = {
        "ANTHROPIC_BASE_URL": address(told),
        "ANTHROPIC_AUTH_TOKEN": ANY_TOKEN,
        "API_TIMEOUT_MS": API_TIMEOUT_MS,
    }
    return variables | ({"ANTHROPIC_API_KEY": key(told)} if key(told) else {})


def ask(told: GatewaySettings) -> Answer:
    """Find out whether the LLM proxy answers at its address."""
    url = f"{address(told)}/status"
    headers = {"x-api-key": key(told)} if key(told) else {}
    asked = urllib.request.Request(url, headers=headers)  # noqa: S310  our own gateway
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE  # only asked who it is
    try:
        with urllib.request.urlopen(asked, timeout=ASK_SECONDS, context=unverified) as answer:  # noqa: S310  as above
            return Answer.READY if json.load(answer).get("service") == "CCProxy" else Answer.ANOTHER
    except urllib.error.HTTPError as error:
        with error:
            return Answer.NOT_READY if error.code == 503 else Answer.ANOTHER
    except urllib.error.URLError as error:
        return Answer.NOTHING if isinstance(error.reason, ConnectionRefusedError) else Answer.ANOTHER
    except (TimeoutError, ConnectionError):  # it is just leaving, or has not come yet
        return Answer.NOT_READY
    except (OSError, ValueError, AttributeError):
        return Answer.ANOTHER
