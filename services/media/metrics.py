"""The numbers of the media process for Prometheus, read when asked for."""

from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.media.fanout import Hub
from services.media.peers import Peers


class MediaCollector(Collector):
    """Reads the counters of peers and hubs at each scrape."""

    def __init__(self, peers: Peers, hubs: Sequence[Hub]) -> None:
        self._peers = peers
        self._hubs = hubs

    def collect(self) -> Iterable[Metric]:
        """Yield every family."""
        counts = self._peers.counts()
        yield GaugeMetricFamily("pulsegate_media_sessions_active", "Peer connections connected now", counts.active)
        yield CounterMetricFamily("pulsegate_media_sessions", "Calls accepted since start", counts.total)
        yield CounterMetricFamily("pulsegate_media_sessions_failed", "Calls that never connected", counts.failed)
        sums = {
            "packets": ("RTP packets sent", sum(hub.sent_packets for hub in self._hubs)),
            "octets": ("RTP payload bytes sent", sum(hub.sent_octets for hub in self._hubs)),
            "packets_again": ("Lost packets sent again", sum(hub.sent_again for hub in self._hubs)),
            "units_dropped": ("Encoded units dropped before sending", sum(hub.dropped_units for hub in self._hubs)),
        }
        for name, (text, value) in sums.items():
            yield CounterMetricFamily(f"pulsegate_media_{name}", text, value)


def export(peers: Peers, hubs: Sequence[Hub], registry: CollectorRegistry = REGISTRY) -> None:
    """Offer the numbers to whoever scrapes this process."""
    registry.register(MediaCollector(peers, hubs))
