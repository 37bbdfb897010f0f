"""What icey-server's configuration file says of its listener, laid under the gateway's own settings."""

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.settings import GatewaySettings

DEFAULT_PATH = Path("config.json")

log = logging.getLogger(__name__)


def lay_under(settings: GatewaySettings) -> GatewaySettings:
    """Take from the file what neither environment nor flags say of the listener, its page, token and origins.

    The file is the media process's, which judges all of it. Its token must not be overlooked, though: one that nobody
    asks for protects nothing.
    """
    path = settings.icey_config or DEFAULT_PATH
    document = _read(path)
    http, auth = _table(document, "http"), _table(document, "auth")
    tls = _table(document, "tls")
    token, origins = auth.get("token"), auth.get("allowedOrigins")
    told = {
        "media_host": http.get("host"),
        "media_port": http.get("port"),
        "media_tls_certificate": _beside(path, tls.get("cert")),
        "media_tls_key": _beside(path, tls.get("key")),
        "media_web_root": _beside(path, document.get("webRoot")),
        "media_token": SecretStr(token) if isinstance(token, str) else None,
        "media_allowed_origins": [one for one in origins if isinstance(one, str)] if isinstance(origins, list) else [],
    }
    kinds = {"media_port": int, "media_token": SecretStr, "media_allowed_origins": list}
    fits = {name: value for name, value in told.items() if value and isinstance(value, kinds.get(name, str))}
    return settings.model_copy(update={name: fits[name] for name in fits.keys() - settings.model_fields_set})


def _beside(path: Path, named: object) -> str | None:
    return str(path.parent / named) if isinstance(named, str) and named else None


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        log.warning("configuration file not read", extra={"file": str(path)})
        return {}
    return document if isinstance(document, dict) else {}


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name)
    return table if isinstance(table, dict) else {}
