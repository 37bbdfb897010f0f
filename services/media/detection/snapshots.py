"""Pictures of events as PNG files."""

import logging
from fractions import Fraction
from typing import Any

import av

from services.media.recording.folder import NoRoom, RecordFolder, safe

log = logging.getLogger(__name__)


class Snapshots:
    """Keeps pictures of one stream, on its thread; one that comes too soon after the last is not kept again."""

    def __init__(self, folder: RecordFolder, label: str, min_interval_usec: int) -> None:
        self._folder = folder
        self._label = safe(label)
        self._min_interval_usec = min_interval_usec
        self._last = ""
        self._last_usec: int | None = None

    def keep(self, frame: av.VideoFrame, pts_usec: int, at_usec: int) -> str:
        """Write a picture, and tell the name of its file; without room there is none, and the name is empty.

        ``at_usec`` is when it came by the wall clock: a stream's own clock begins anew with each process, and a name
        must not come twice.
        """
        if self._last_usec is not None and 0 <= pts_usec - self._last_usec < self._min_interval_usec:
            return self._last
        name = f"{self._label}-{at_usec}.png"
        try:
            self._folder.make()
            self._folder.check()
            unfinished = self._folder.path / f".{name}"
            unfinished.write_bytes(png(frame))
            unfinished.rename(self._folder.path / name)
        except (NoRoom, OSError) as error:
            log.warning("snapshot not kept", extra={"snapshot": name, "reason": str(error)})
            return ""
        self._last, self._last_usec = name, pts_usec
        return name


def png(frame: av.VideoFrame) -> bytes:
    """Encode a picture."""
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base = Fraction(1, 1)
    picture = frame.reformat(format="rgb24")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
