"""What a configured source value means: its kind, whether it is remote, and how it may be shown."""

import re
from dataclasses import dataclass

from services.media import scrub

TEST_PICTURE = "testsrc"

_LIVE_SCHEMES = ("rtsp:", "rtsps:", "rtmp:", "rtmps:", "srt:", "udp:", "tcp:", "rtp:")
_DEVICE = re.compile(r"(avfoundation|v4l2|dshow):(?!//)")


@dataclass(frozen=True)
class Origin:
    """Where the picture comes from, as the operator wrote it."""

    value: str

    @property
    def kind(self) -> str:
        """One of ``none``, ``rtsp``, ``device``, ``url`` and ``file``; the built-in picture counts as a device."""
        if not self.value:
            return "none"
        if self.value.startswith("rtsp://"):
            return "rtsp"
        if self.value == TEST_PICTURE or _DEVICE.match(self.value) or self.value.startswith("/dev/"):
            return "device"
        return "url" if "://" in self.value else "file"

    @property
    def remote(self) -> bool:
        """Whether the source is reached over a network."""
        return "://" in self.value or self.value.startswith(("rtsp:", "udp:", "tcp:", "file:"))

    @property
    def live(self) -> bool:
        """Whether it runs by its own clock: such a source is neither paced nor looped, and read all the time."""
        return self.value.startswith(_LIVE_SCHEMES) or (self.kind == "device" and self.value != TEST_PICTURE)

    @property
    def shown(self) -> str:
        """The value as it may leave the process."""
        if self.remote:
            return scrub.text(self.value)
        return self.value if self.kind == "device" else scrub.last_component(self.value)
