"""The status document of the converter process."""

import os
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from gen.converter.v1 import converter_pb2
from runtime.health import Component, Health

ICE = "converter.ice"


def document(
    health: Health, *, version: str, started_at: datetime, ice_address: str, bridge: bool = False
) -> converter_pb2.ConverterStatus:
    """Say what is true of this process now; nothing in it ticks."""
    return converter_pb2.ConverterStatus(
        version=version,
        pid=os.getpid(),
        started_at=_timestamp(started_at),
        ice=converter_pb2.IceStatus(
            mode=converter_pb2.IceStatus.MODE_BRIDGE if bridge else converter_pb2.IceStatus.MODE_EMBEDDED,
            connected=health.serving(ICE),
            address=ice_address,
        ),
        health=[_component(component) for component in health.report()],
    )


def _component(component: Component) -> converter_pb2.ComponentHealth:
    return converter_pb2.ComponentHealth(
        name=component.name,
        serving=component.serving,
        since=_timestamp(component.since),
        last_error=component.last_error,
    )


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
