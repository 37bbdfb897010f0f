"""Encoded units as a track for a stock RTCRtpSender: the public way, where the shared fan-out is not to be had."""

import asyncio
from fractions import Fraction
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from services.media.fanout import Hub
from services.media.unit import CLOCK_RATES, Kind, Unit

_MOST_WAITING = 64


class StockTrack(MediaStreamTrack):
    """Hands one hub's units of a kind to one viewer; a slow one misses what comes before the next key frame."""

    def __init__(self, kind: Kind, hub: Hub) -> None:
        self.kind = kind
        super().__init__()
        self._units: asyncio.Queue[Unit | None] = asyncio.Queue(_MOST_WAITING)
        self._live = kind == "audio"
        self._untap = hub.tap(self._take)

    async def recv(self) -> "av.Packet[Any]":
        """Yield the next unit as an encoded packet."""
        unit = await self._units.get()
        if unit is None or self.readyState != "live":
            raise MediaStreamError
        packet = av.Packet(unit.data)
        packet.pts = unit.timestamp
        packet.time_base = Fraction(1, CLOCK_RATES[unit.kind])
        return packet

    def stop(self) -> None:
        """Take no more units."""
        if self.readyState == "live":
            super().stop()
            self._untap()
            if not self._units.full():
                self._units.put_nowait(None)

    def _take(self, unit: Unit) -> None:
        if unit.kind != self.kind or not (self._live or unit.key):
            return
        try:
            self._units.put_nowait(unit)
            self._live = True
        except asyncio.QueueFull:
            self._live = unit.kind == "audio"
