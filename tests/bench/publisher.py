"""Publishes 720p at 30 pictures and 2 Mbit a second, encoded beforehand, by WHIP: ``publisher.py URL FOLDER``."""

import itertools
import sys
import time
from fractions import Fraction
from pathlib import Path

import av

from tests.bench.recording import encoded
from tests.certificates import write_certificate

KEY_EVERY = 60
TIME_BASE = Fraction(1, 30)


def main() -> None:
    """Publish until killed."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    packets = encoded()
    with av.open(url, "w", format="whip", options=write_certificate(folder)) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"profile": "baseline", "tune": "zerolatency"}
        began = time.monotonic()
        for number in itertools.count():
            packet = av.Packet(packets[number % len(packets)])
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, TIME_BASE, number, number
            packet.is_keyframe = number % KEY_EVERY == 0
            container.mux(packet)
            if number == 30:
                print("publishing", flush=True)
            time.sleep(max(0.0, began + number / 30 - time.monotonic()))


if __name__ == "__main__":
    main()
