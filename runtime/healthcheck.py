"""One health question to one gRPC server, asked and answered on the command line as `grpc_health_probe` does it.

Flags, texts and exit codes are those of that program, so a probe written for it works here; its flags -tls-no-verify,
-spiffe and -alts are not known. What it says goes to stderr, only -version to stdout.
"""

import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read at import; else a refused handshake is told twice

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

USAGE_EXIT, CONNECTION_EXIT, RPC_EXIT, UNHEALTHY_EXIT = 1, 2, 3, 4

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class UsageError(Exception):
    """The command line asks for something that cannot be asked."""


class CheckFailed(Exception):
    """The question was asked and the answer is bad; carries the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Options:
    """What the flags say; a field's metadata is its line of help."""

    addr: str = field(default="", metadata={"help": "(required) tcp host:port or unix:///path to connect to"})
    service: str = field(default="", metadata={"help": "service name to check"})
    connect_timeout: float = field(default=1.0, metadata={"help": "timeout for establishing the connection"})
    rpc_timeout: float = field(default=1.0, metadata={"help": "timeout for the health check rpc"})
    rpc_header: tuple[str, ...] = field(default=(), metadata={"help": "'name: value' to send; may be repeated"})
    user_agent: str = field(default="grpc_health_probe", metadata={"help": "user agent to send"})
    gzip: bool = field(default=False, metadata={"help": "compress the request"})
    tls: bool = field(default=False, metadata={"help": "use TLS; without it the connection is plaintext"})
    tls_ca_cert: str = field(default="", metadata={"help": "file of the CA to trust (default: the system's)"})
    tls_client_cert: str = field(default="", metadata={"help": "file of the client's certificate"})
    tls_client_key: str = field(default="", metadata={"help": "file of the client's key"})
    tls_server_name: str = field(default="", metadata={"help": "name to expect in the server's certificate"})
    v: bool = field(default=False, metadata={"help": "tell how long it took"})
    version: bool = field(default=False, metadata={"help": "print the version and exit"})


def main(arguments: Sequence[str]) -> int:
    """Ask as the arguments say and return the exit code."""
    try:
        options = parse(arguments)
        if options.version:
            from importlib.metadata import version

            sys.stdout.write(f"{version('pulsegate')}\n")
            return 0
        validate(options)
        check(options)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_EXIT
    except CheckFailed as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    sys.stderr.write("status: SERVING\n")
    return 0


def parse(arguments: Sequence[str]) -> Options:
    """Read flags as Go does: one dash or two, `-flag value` or `-flag=value`, the first other word ends them."""
    known = {one.name.replace("_", "-"): one for one in fields(Options)}
    told: dict[str, Any] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        name, given, value = word.removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help"):
            raise UsageError(usage())
        if name not in known:
            raise UsageError(f"flag provided but not defined: -{name}\n{usage()}")
        attribute = known[name].name
        if isinstance(known[name].default, bool):
            told[attribute] = _boolean(name, value) if given else True
            continue
        if not given and not rest:
            raise UsageError(f"flag needs an argument: -{name}\n{usage()}")
        text = value if given else rest.pop(0)
        told[attribute] = _value(name, text, told.get(attribute, known[name].default))
    return Options(**told)


def _value(name: str, text: str, before: object) -> object:
    if isinstance(before, float):
        return duration(name, text)
    if isinstance(before, tuple):
        return (*before, text)
    return text


def _boolean(name: str, text: str) -> bool:
    words = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in words:
        raise UsageError(f'invalid boolean value "{text}" for -{name}: parse error\n{usage()}')
    return words[text.lower()]


def duration(name: str, text: str) -> float:
    """Read a Go duration such as `250ms` or `1m30s` as seconds."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    parts = _DURATION.findall(digits)
    if digits == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise UsageError(f'invalid value "{text}" for flag -{name}: parse error\n{usage()}')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def spell(seconds: float) -> str:
    """Write seconds as Go writes a duration."""
    if seconds < 0:
        return f"-{spell(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    minutes, left = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{left:g}s" if hours else f"{minutes}m{left:g}s" if minutes else f"{left:g}s"


def validate(options: Options) -> None:
    """Raise ``UsageError`` for flags that do not go together."""
    if not options.addr:
        raise UsageError("error: -addr not specified")
    for name in ("connect_timeout", "rpc_timeout"):
        if getattr(options, name) <= 0:
            flag = name.replace("_", "-")
            raise UsageError(f"error: -{flag} must be greater than zero (specified: {spell(getattr(options, name))})")
    for name in ("tls_ca_cert", "tls_client_cert", "tls_client_key", "tls_server_name"):
        if getattr(options, name) and not options.tls:
            raise UsageError(f"error: specified -{name.replace('_', '-')} without specifying -tls")
    if bool(options.tls_client_cert) != bool(options.tls_client_key):
        raise UsageError("error: -tls-client-cert and -tls-client-key must be specified together")
    for header in options.rpc_header:
        if ":" not in header:
            raise UsageError(f"error: invalid RPC header, expected 'key: value', got '{header}'")


def check(options: Options) -> None:
    """Ask once; raises ``CheckFailed`` unless the answer is SERVING."""
    started = time.monotonic()
    with _channel(options) as channel:
        try:
            grpc.channel_ready_future(channel).result(options.connect_timeout)
        except grpc.FutureTimeoutError:
            text = f'timeout: failed to connect service "{options.addr}" within {spell(options.connect_timeout)}'
            raise CheckFailed(CONNECTION_EXIT, text) from None
        connected = time.monotonic()
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=options.service),
                timeout=options.rpc_timeout,
                metadata=[_header(one) for one in options.rpc_header],
                compression=grpc.Compression.Gzip if options.gzip else None,
            )
        except grpc.RpcError as error:
            raise CheckFailed(RPC_EXIT, _why(error, options)) from None
    if options.v:
        sys.stderr.write(f"time elapsed: connect={connected - started:.3f}s rpc={time.monotonic() - connected:.3f}s\n")
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        word = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise CheckFailed(UNHEALTHY_EXIT, f'service unhealthy (responded with "{word}")')


def _channel(options: Options) -> grpc.Channel:
    target = f"localhost{options.addr}" if options.addr.startswith(":") else options.addr
    settings: list[tuple[str, object]] = [
        ("grpc.primary_user_agent", options.user_agent),
        ("grpc.enable_http_proxy", 0),
    ]
    if not options.tls:
        return grpc.insecure_channel(target, options=settings)
    if options.tls_server_name:
        settings.append(("grpc.ssl_target_name_override", options.tls_server_name))
    ca, key, certificate = (
        _read(path) for path in (options.tls_ca_cert, options.tls_client_key, options.tls_client_cert)
    )
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, certificate), options=settings)


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise UsageError(f"failed to initialize tls credentials. error={error}") from None


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip().lower(), value.strip()


def _why(error: grpc.RpcError, options: Options) -> str:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {spell(options.rpc_timeout)}"
    word = "Canceled" if code is grpc.StatusCode.CANCELLED else code.name.title().replace("_", "")
    return f"error: health rpc failed: rpc error: code = {word} desc = {details}"


def usage() -> str:
    """List the flags."""
    lines = ["Usage of pulsegate healthcheck:"]
    for one in fields(Options):
        default = spell(one.default) if isinstance(one.default, float) else one.default
        shown = f" (default {default})" if default and default is not True else ""
        lines.append(f"  -{one.name.replace('_', '-')}\n    \t{one.metadata['help']}{shown}")
    return "\n".join(lines)
