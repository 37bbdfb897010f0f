"""Publishes 720p at 30 pictures and 2 Mbit a second, encoded beforehand, by WHIP: ``publisher.py URL FOLDER``."""

import itertools
import sys
import time
from fractions import Fraction
from pathlib import Path

import av

from tests.certificates import write_certificate

PICTURES = 300
BITRATE = 2_000_000
TIME_BASE = Fraction(1, 30)


def encoded() -> list[tuple[bytes, bool]]:
    """Encode ten seconds of the test picture."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.bit_rate, encoder.gop_size = TIME_BASE, Fraction(30), BITRATE, 60
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": "sliced-threads=0:nal-hrd=cbr:vbv-maxrate=2000:vbv-bufsize=2000",
    }
    packets = []
    with av.open("testsrc2=size=1280x720:rate=30,format=yuv420p", format="lavfi") as source:
        for frame in itertools.islice(source.decode(video=0), PICTURES):
            frame.pts, frame.time_base = len(packets), TIME_BASE
            packets += [(bytes(packet), packet.is_keyframe) for packet in encoder.encode(frame)]
    return packets


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
            data, key = packets[number % len(packets)]
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts, packet.is_keyframe = (
                stream, TIME_BASE, number, number, key,
            )  # fmt: skip
            container.mux(packet)
            if number == 30:
                print("publishing", flush=True)
            time.sleep(max(0.0, began + number / 30 - time.monotonic()))


if __name__ == "__main__":
    main()
