"""The named streams of this process: which there are, who may publish one and who may view one."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.media.fanout import Hub
from services.media.inbound import Inbound
from services.media.relay import Relay
from services.media.stream import Stream

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class UnknownStream(Exception):
    """There is no stream of that name, and there cannot be one."""


class WrongMode(Exception):
    """This mode takes no publisher, or no viewer."""


@dataclass(frozen=True)
class Relayed:
    """Who publishes a relayed stream, who waits to, and how many view it; publishers by their whole ids."""

    name: str
    source: str
    waiting: tuple[str, ...]
    viewers: int


@dataclass
class Traffic:
    """What was sent so far; never falls."""

    packets: int = 0
    octets: int = 0
    packets_again: int = 0
    units_dropped: int = 0

    def add(self, hub: Hub) -> None:
        """Add what one hub has sent."""
        self.packets += hub.sent_packets
        self.octets += hub.sent_octets
        self.packets_again += hub.sent_again
        self.units_dropped += hub.dropped_units


class Streams:
    """Every stream by its name.

    In stream mode there are those that a source feeds, and nobody publishes. In relay mode there is one for every
    name that somebody publishes or views, for as long as somebody does. In record mode everybody publishes and
    nobody views. Whoever wants to know of every publisher, such as a recorder, adds itself to ``on_publisher``; it is
    called when the publisher is connected. Whoever has a say in whether there may be one now adds itself to
    ``may_publish``; it raises what says why not.
    """

    def __init__(self, mode: str, fed: Mapping[str, Stream]) -> None:
        self.on_publisher: list[Callable[[Inbound], object]] = []
        self.may_publish: list[Callable[[], None]] = []
        self._mode = mode
        self._fed = fed
        self._relays: dict[str, tuple[Relay, asyncio.Task[None]]] = {}
        self._past = Traffic()

    def hub(self, name: str) -> Hub:
        """Find what a viewer of a name is sent; it must be claimed at once. Raises what says why there is none."""
        if self._mode == "record":
            raise WrongMode("this server records and has nothing to view")
        if self._mode == "relay":
            return self._relay(name).hub
        if name not in self._fed:
            raise UnknownStream("no such stream")
        return self._fed[name].hub

    def check_publishable(self, name: str) -> None:
        """Raise unless somebody may publish under a name now."""
        if self._mode == "stream":
            raise WrongMode("this server streams a source of its own and takes no publisher")
        _check_name(name)
        for check in self.may_publish:
            check()

    def begin(self, inbound: Inbound) -> None:
        """Take a publisher that is connected now."""
        if self._mode == "relay":
            self._relay(inbound.stream).add(inbound)
        for told in self.on_publisher:
            told(inbound)

    def relayed(self) -> list[Relayed]:
        """Tell who publishes and who views, by name."""
        return [
            Relayed(
                name,
                relay.source.publisher if relay.source else "",
                tuple(one.publisher for one in relay.publishers if one is not relay.source),
                relay.hub.claimed(),
            )
            for name, (relay, _) in sorted(self._relays.items())
        ]

    def starving(self, seconds: float) -> list[str]:
        """Name the relayed streams whose viewers have waited so long for anything to come."""
        return [name for name, (relay, _) in sorted(self._relays.items()) if relay.starving(seconds)]

    def traffic(self) -> Traffic:
        """Sum up what was sent."""
        total = Traffic(**vars(self._past))
        for hub in self._hubs():
            total.add(hub)
        return total

    async def close(self) -> None:
        """End every relayed stream."""
        tasks = [task for _, task in self._relays.values()]
        self._relays.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hubs(self) -> list[Hub]:
        return [stream.hub for stream in self._fed.values()] + [relay.hub for relay, _ in self._relays.values()]

    def _relay(self, name: str) -> Relay:
        _check_name(name)
        if name not in self._relays:
            relay = Relay(name, self._forget)
            self._relays[name] = relay, asyncio.create_task(relay.hub.run(), name="relay")
        return self._relays[name][0]

    def _forget(self, relay: Relay) -> None:
        if relay.name in self._relays:
            _, task = self._relays.pop(relay.name)
            task.cancel()
            self._past.add(relay.hub)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UnknownStream("a stream's name has 1 to 64 letters, digits, dots, dashes or underscores")
