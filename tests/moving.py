"""Encoded pictures of something that moves, for tests."""

from fractions import Fraction

import av
import numpy as np

from services.media.unit import Unit


def pictures(count, *, moving=True, size=(320, 180), group=30):
    """Encode a white square that runs through a grey picture, or stands still."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 30), Fraction(30)
    encoder.gop_size = group
    encoder.options = {"tune": "zerolatency", "profile": "baseline", "preset": "ultrafast", "x264-params": "scenecut=0"}
    units = []
    for number in range(count):
        image = np.full((size[1], size[0]), 100, dtype=np.uint8)
        place = number * 8 % (size[0] - 40) if moving else 0
        image[40:80, place : place + 40] = 250
        frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, encoder.time_base
        units += [
            Unit("video", bytes(packet), 900_000 + number * 3000, packet.is_keyframe)
            for packet in encoder.encode(frame)
        ]
    return units
