"""How the gateway reaches a backend: addresses behind a target, options that notice a lost peer."""

import json
from collections.abc import Mapping, Sequence

import grpc

from runtime import traced_rpc
from runtime.tls import CertificateFiles

# Measured: without ping_timeout_ms a frozen peer is never noticed, whatever keepalive_timeout_ms says.
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 500),
    ("grpc.http2.ping_timeout_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_metadata_size", 256 * 1024),  # a documented error text quotes what a client sent, however long
    ("grpc.absolute_max_metadata_size", 256 * 1024),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
)

_PATIENCE = {"grpc.keepalive_timeout_ms": 5000, "grpc.http2.ping_timeout_ms": 5000}

# A replica that says NOT_SERVING gets no call; one that was lost before a call left is asked again elsewhere.
_SERVICE_CONFIG: Mapping[str, object] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def open_balanced(target: str, certificates: CertificateFiles | None = None) -> grpc.aio.Channel:
    """Open the channel for data calls: every serving replica behind the target in turn."""
    config = {"grpc.service_config": json.dumps(_SERVICE_CONFIG)}
    return _open(_uri(target), target, certificates, config, traced_rpc.client_interceptors())


def open_direct(address: str, target: str, certificates: CertificateFiles | None = None) -> grpc.aio.Channel:
    """Open a channel to one replica of a target, whatever it says of its health."""
    return _open(address, target, certificates, {"grpc.use_local_subchannel_pool": 1})


def open_patient(address: str, target: str, certificates: CertificateFiles | None = None) -> grpc.aio.Channel:
    """Open a channel to one replica for calls that last: it bears a machine that is busy for seconds.

    Measured: with the patience of the others, 200 sockets were lost at once on a machine with ten times too much to do.
    """
    return _open(address, target, certificates, {"grpc.use_local_subchannel_pool": 1, **_PATIENCE})


def host(target: str) -> str:
    """Tell the name in a target, which every replica's certificate must carry; of several the first."""
    return addresses(target)[0].removeprefix("dns:").lstrip("/").rpartition(":")[0].strip("[]")


def _open(
    uri: str,
    target: str,
    certificates: CertificateFiles | None,
    of_its_own: Mapping[str, str | int],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    options: list[tuple[str, str | int]] = [*{**dict(_OPTIONS), **of_its_own}.items()]
    if certificates is None:
        return grpc.aio.insecure_channel(uri, options=options, interceptors=interceptors)
    options.append(("grpc.ssl_target_name_override", host(target)))  # a replica is dialled by its address
    credentials = certificates.client_credentials()
    return grpc.aio.secure_channel(uri, credentials, options=options, interceptors=interceptors)


def addresses(target: str) -> list[str]:
    """Split a target that lists its replicas, ``host:port,host:port``; a ``dns:`` target is returned whole."""
    return [address.strip() for address in target.split(",") if address.strip()]


def _uri(target: str) -> str:
    several = addresses(target)
    return several[0] if len(several) == 1 else f"ipv4:{','.join(several)}"
