"""One encoded piece of a track: what sources make and the fan-out sends."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["video", "audio"]

CLOCK_RATES: dict[Kind, int] = {"video": 90_000, "audio": 48_000}
"""RTP clock of each kind: H.264 and Opus."""


@dataclass(frozen=True, slots=True)
class Unit:
    """An H.264 access unit in Annex B form, or an Opus packet.

    ``timestamp`` counts in the clock rate of the kind on the source's continuous clock.
    """

    kind: Kind
    data: bytes
    timestamp: int
    key: bool
