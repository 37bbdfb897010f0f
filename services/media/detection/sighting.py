"""What a detector of pictures is and tells, whatever it looks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]
"""The brightness of a picture, of shape height by width."""


@dataclass(frozen=True)
class Detection:
    """One thing that was found; its box is in shares of the picture's width and height."""

    label: str
    confidence: float
    x: float
    y: float
    width: float
    height: float
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sighting:
    """What is worth an event in one picture; ``data`` is whatever else the detector tells, ready for JSON."""

    detections: tuple[Detection, ...]
    data: Mapping[str, Any] = field(default_factory=dict)


class Detector(Protocol):
    """Looks at the pictures of one stream, in their order; only its own thread calls it."""

    name: str
    last_score: float
    """Of the picture looked at last, between 0 and 1."""

    def look(self, luma: Luma, at_usec: int) -> Sighting | None:
        """Tell what is worth an event in a picture, if anything; ``at_usec`` is where the stream's clock stands."""
        ...
