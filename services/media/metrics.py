"""The numbers of the media process for Prometheus, read when asked for."""

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.media.status import Activity


class MediaCollector(Collector):
    """Reads the counters of whatever goes on at each scrape."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    def collect(self) -> Iterable[Metric]:
        """Yield every family."""
        counts = self._activity.peers.counts()
        yield GaugeMetricFamily("pulsegate_media_sessions_active", "Peer connections connected now", counts.active)
        yield CounterMetricFamily("pulsegate_media_sessions", "Calls accepted since start", counts.total)
        yield CounterMetricFamily("pulsegate_media_sessions_failed", "Calls that never connected", counts.failed)
        yield CounterMetricFamily(
            "pulsegate_media_sessions_refused", "Calls refused because there was no room", counts.refused
        )
        load = self._activity.load.share
        yield GaugeMetricFamily("pulsegate_media_load", "Share of processor time used, over 5 seconds", load)
        recordings = self._activity.recordings
        yield GaugeMetricFamily("pulsegate_media_recordings_active", "Files being recorded now", recordings.active)
        yield CounterMetricFamily("pulsegate_media_recordings", "Files recorded since start", recordings.written)
        yield CounterMetricFamily("pulsegate_media_recordings_failed", "Recordings cut short", recordings.failed)
        found = CounterMetricFamily("pulsegate_media_detections", "Events of motion and speech", labels=["kind"])
        found.add_metric(["vision"], self._activity.detection.vision_detail()["detectorEmitted"])
        found.add_metric(["speech"], self._activity.detection.speech_detail()["detectorEmitted"])
        yield found
        traffic = self._activity.streams.traffic()
        sums = {
            "packets": ("RTP packets sent", traffic.packets),
            "octets": ("RTP payload bytes sent", traffic.octets),
            "packets_again": ("Lost packets sent again", traffic.packets_again),
            "units_dropped": ("Encoded units dropped before sending", traffic.units_dropped),
        }
        for name, (text, value) in sums.items():
            yield CounterMetricFamily(f"pulsegate_media_{name}", text, value)


def export(activity: Activity, registry: CollectorRegistry = REGISTRY) -> None:
    """Offer the numbers to whoever scrapes this process."""
    registry.register(MediaCollector(activity))
