"""coturn beside the media process of this machine, where it is installed and safe to start."""

import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from services.media import config_file
from services.media.config_file import ConfigInvalid
from services.media.settings import DEMO_CREDENTIAL, MediaSettings

PROGRAM = "turnserver"
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  recognised, not bound

# Networks that only this machine or its neighbours can reach: a relay must be no way into them.
_PRIVATE = (
    "0.0.0.0-0.255.255.255",
    "10.0.0.0-10.255.255.255",
    "100.64.0.0-100.127.255.255",
    "127.0.0.0-127.255.255.255",
    "169.254.0.0-169.254.255.255",
    "172.16.0.0-172.31.255.255",
    "192.168.0.0-192.168.255.255",
    "::1",
    "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)


@dataclass(frozen=True)
class Plan:
    """Whether coturn is to be started, and why or why not in one line."""

    starts: bool
    reason: str


def settings_of_media(settings: MediaSettings) -> MediaSettings | None:
    """Tell what the media process will be told, its configuration file included; None if that is invalid."""
    try:
        file = config_file.read(settings.icey_config)
        return None if file.error else file.lay_under(settings)
    except (FileNotFoundError, ConfigInvalid):
        return None  # the media process itself says what is wrong


def plan(settings: MediaSettings) -> Plan:
    """Judge whether coturn can and may be started."""
    place = f"{settings.host or '0.0.0.0'}:{settings.turn_port}"  # noqa: S104  to be told, not bound
    if settings.turn == "false":
        return Plan(False, "not started: TURN is switched off")
    if shutil.which(PROGRAM) is None:
        return Plan(False, "not started: it is not installed (Debian's package is coturn)")
    if not settings.turn_secret.get_secret_value() and not _is_loopback(settings.host):
        return Plan(False, f"not started: at {place} everybody knows the demo credentials; set ICEY_TURN_SECRET")
    if not _is_free(settings.host, settings.turn_port):
        return Plan(False, f"not started: something else is at {place}")
    credentials = "time-limited" if settings.turn_secret.get_secret_value() else "demo"
    return Plan(True, f"`pulsegate run` starts it at {place} with {credentials} credentials")


def command(settings: MediaSettings, folder: Path, own_addresses: Sequence[str]) -> list[str]:
    """Write the configuration, which holds the secret, where only this user can read it; return how to start coturn."""
    path = folder / "turnserver.conf"
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(configuration(settings, folder, own_addresses), encoding="utf-8")
    return [PROGRAM, "-c", str(path)]


def own_addresses(settings: MediaSettings) -> list[str]:
    """Tell the addresses at which the media process of this machine can be reached."""
    if settings.candidate_addresses:
        return list(settings.candidate_addresses)
    from aioice.ice import get_host_addresses

    return get_host_addresses(use_ipv4=True, use_ipv6=True) or ["127.0.0.1"]


def configuration(settings: MediaSettings, folder: Path, own_addresses: Sequence[str]) -> str:
    """Spell the settings as coturn 4.6 wants them."""
    secret = settings.turn_secret.get_secret_value()
    lines = [
        f"listening-port={settings.turn_port}",
        f"realm={settings.turn_realm}",
        "fingerprint",
        *(["use-auth-secret", f"static-auth-secret={secret}"] if secret else ["lt-cred-mech"]),
        *([] if secret else [f"user={DEMO_CREDENTIAL}:{DEMO_CREDENTIAL}"]),
        "min-port=49152",
        "max-port=65535",
        "stale-nonce=600",
        "user-quota=12",
        "total-quota=1200",
        "no-cli",
        "no-tls",
        "no-dtls",
        "no-rfc5780",
        "no-multicast-peers",
        "no-software-attribute",
        "log-file=stdout",
        f"pidfile={folder / 'turnserver.pid'}",
        f"userdb={folder / 'turndb'}",
    ]
    if settings.host not in WILDCARDS:
        lines += [f"listening-ip={settings.host}", f"relay-ip={settings.host}"]
    if settings.turn_external_ip:
        lines.append(f"external-ip={settings.turn_external_ip}")
    if any(_is_loopback(address) for address in own_addresses):
        lines.append("allow-loopback-peers")
    lines += [f"allowed-peer-ip={address}" for address in own_addresses]
    if not settings.turn_local_relay:
        lines += [f"denied-peer-ip={network}" for network in _PRIVATE]
    return "\n".join(lines) + "\n"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as trial:
            if kind == socket.SOCK_STREAM:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError:
                return False
    return True
