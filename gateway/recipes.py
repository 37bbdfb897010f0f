"""Commands an operator can copy to ask again by hand."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

READINESS = "readiness"
LIVENESS = "liveness"


@dataclass(frozen=True)
class Recipe:
    """One command, under the name of the tool it is for."""

    tool: str
    command: str


def for_rest(base: str, paths: Iterable[str]) -> list[Recipe]:
    """Ask a façade as its clients do."""
    return [Recipe("curl", f"curl -i {shlex.quote(base + path)}") for path in paths]


def for_grpc(address: str, names: Iterable[str]) -> list[Recipe]:
    """Ask one replica about itself, then about each of its components."""
    flags = [f"-addr={address}", *(f"-addr={address} -service={shlex.quote(name)}" for name in names)]
    return [
        *(Recipe("grpc_health_probe", f"grpc_health_probe {flag}") for flag in flags),
        Recipe("pulsegate", f"pulsegate healthcheck {flags[0]}"),
        Recipe("grpcurl", f"grpcurl -plaintext {address} grpc.health.v1.Health/Check"),
    ]


def for_kubernetes(address: str) -> list[Recipe]:
    """Write the probes of a container down as Kubernetes wants them."""
    port = address.rpartition(":")[2]
    if not port.isdecimal():
        return []
    probes = {"startupProbe": READINESS, "readinessProbe": READINESS, "livenessProbe": LIVENESS}
    return [
        Recipe("kubernetes", f"{probe}: {{grpc: {{port: {port}, service: {name}}}}}") for probe, name in probes.items()
    ]
