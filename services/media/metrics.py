"""The numbers of the media process for Prometheus, read when asked for."""

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.media.peers import Peers
from services.media.streams import Streams


class MediaCollector(Collector):
    """Reads the counters of peers and streams at each scrape."""

    def __init__(self, peers: Peers, streams: Streams) -> None:
        self._peers = peers
        self._streams = streams

    def collect(self) -> Iterable[Metric]:
        """Yield every family."""
        counts = self._peers.counts()
        yield GaugeMetricFamily("pulsegate_media_sessions_active", "Peer connections connected now", counts.active)
        yield CounterMetricFamily("pulsegate_media_sessions", "Calls accepted since start", counts.total)
        yield CounterMetricFamily("pulsegate_media_sessions_failed", "Calls that never connected", counts.failed)
        traffic = self._streams.traffic()
        sums = {
            "packets": ("RTP packets sent", traffic.packets),
            "octets": ("RTP payload bytes sent", traffic.octets),
            "packets_again": ("Lost packets sent again", traffic.packets_again),
            "units_dropped": ("Encoded units dropped before sending", traffic.units_dropped),
        }
        for name, (text, value) in sums.items():
            yield CounterMetricFamily(f"pulsegate_media_{name}", text, value)


def export(peers: Peers, streams: Streams, registry: CollectorRegistry = REGISTRY) -> None:
    """Offer the numbers to whoever scrapes this process."""
    registry.register(MediaCollector(peers, streams))
