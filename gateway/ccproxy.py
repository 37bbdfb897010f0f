"""What CCProxy's configuration file says of its listener, laid under the gateway's own settings."""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, SecretStr, TypeAdapter, ValidationError

from gateway.settings import GatewaySettings, Networks, Texts

SEARCHED = ("config.json", "~/.ccproxy/config.json", "/etc/ccproxy/config.json")

log = logging.getLogger(__name__)


def lay_under(settings: GatewaySettings) -> GatewaySettings:
    """Take host, port, key, limits and access from the file where neither environment nor flags say anything.

    The file is the LLM proxy's, which judges all of it; what is wrong there is no concern of the gateway. Its key
    must not be overlooked, though: a key nobody asks for protects nothing.
    """
    document = _read(settings.ccproxy_config)
    key = document.get("apikey") or document.get("api_key")
    told = {
        "llmproxy_host": document.get("host"),
        "llmproxy_port": document.get("port"),
        "llmproxy_key": SecretStr(_expand(key)) if isinstance(key, str) else None,
    }
    kinds = {"llmproxy_host": str, "llmproxy_port": int, "llmproxy_key": SecretStr}
    fits = {name: value for name, value in told.items() if value and isinstance(value, kinds[name])}
    fits |= _access(_table(document, "security"), _table(document, "performance"))
    return settings.model_copy(update={name: fits[name] for name in fits.keys() - settings.model_fields_set})


def _access(security: dict[str, Any], performance: dict[str, Any]) -> dict[str, Any]:
    """Read who may call and how much; a value that is wrong is not used, and keeps the LLM proxy from starting."""
    told: dict[str, tuple[object, Any]] = {
        "llmproxy_ip_whitelist": (security.get("ip_whitelist"), Networks),
        "llmproxy_ip_blacklist": (security.get("ip_blacklist"), Networks),
        "llmproxy_cors": (security.get("cors_enabled"), bool),
        "llmproxy_cors_origins": (security.get("cors_origins"), Texts),
        "llmproxy_cors_headers": (security.get("allowed_headers"), Texts),
        "llmproxy_audit": (security.get("audit_enabled"), bool),
        "llmproxy_max_body_bytes": (performance.get("max_request_body_size"), NonNegativeInt),
    }
    fits: dict[str, Any] = {}
    for name, (value, kind) in told.items():
        if value in (None, []):
            continue
        try:
            fits[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError:
            log.warning("setting of the configuration file not used", extra={"setting": name})
    return fits


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name)
    return table if isinstance(table, dict) else {}


def _read(named: Path | None) -> dict[str, Any]:
    paths = [named] if named else [Path(path).expanduser() for path in SEARCHED]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        log.warning("configuration file not read", extra={"file": str(path)})
        return {}
    return document if isinstance(document, dict) else {}


def _expand(text: str) -> str:
    return re.sub(r"\$\{([A-Za-z_]\w*)\}", lambda match: os.environ.get(match[1], ""), text)
