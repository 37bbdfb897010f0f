"""One named stream: its source, its fan-out, and both kept running."""

import asyncio

from services.media.fanout import Hub
from services.media.origin import Origin
from services.media.sources import Encoding, Source
from services.media.unit import Unit


class Stream:
    """Ties a source to the hub that sends it."""

    def __init__(self, origin: Origin, encoding: Encoding, *, loop_file: bool) -> None:
        self.hub = Hub(self._want_key, self._demand)
        self.source = Source(origin, encoding, loop_file=loop_file, sink=self._push)

    async def run(self) -> None:
        """Read and send until cancelled."""
        self.source.start()
        try:
            await self.hub.run()
        finally:
            await asyncio.shield(self.source.stop())

    def _push(self, unit: Unit) -> None:
        self.hub.push(unit)

    def _want_key(self) -> bool:
        return self.source.want_key()

    def _demand(self, wanted: bool) -> None:
        self.source.demand(wanted=wanted)
