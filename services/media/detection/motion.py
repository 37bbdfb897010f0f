"""Motion by difference: how much a picture's brightness changed since the last one, and where."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.media.detection.sighting import Detection, Luma, Sighting

Grid = npt.NDArray[np.float32]
Cell = tuple[int, int]
"""Row and column."""

_MOST_REGIONS = 8
_LEAST_CELL = 0.02


@dataclass(frozen=True)
class MotionSettings:
    """What counts as motion; ``threshold`` is a share of the whole range of brightness, ``cooldown_usec`` a time."""

    grid_width: int = 32
    grid_height: int = 18
    warmup_frames: int = 2
    threshold: float = 0.08
    cooldown_usec: int = 500_000


class MotionDetector:
    """Compares pictures of one stream with each other; the first ones, and any of another size, only prime it."""

    name = "motion"

    def __init__(self, settings: MotionSettings) -> None:
        self._settings = settings
        self._before: Grid | None = None
        self._size: tuple[int, ...] = ()
        self._primed = 0
        self._emitted_usec: int | None = None
        self.last_score = 0.0

    def look(self, luma: Luma, at_usec: int) -> Sighting | None:
        """Tell the motion since the picture before, if it is worth an event."""
        settings = self._settings
        if luma.shape != self._size:
            self._size, self._before, self._primed = luma.shape, None, 0
        sampled = _sample(luma, settings.grid_width, settings.grid_height)
        before, self._before = self._before, sampled
        self._primed += 1
        if before is None or self._primed <= settings.warmup_frames:
            return None
        grid = np.abs(sampled - before) / np.float32(255)
        self.last_score = score = float(grid.mean())
        since = None if self._emitted_usec is None else at_usec - self._emitted_usec
        if score < settings.threshold or (since is not None and 0 <= since < settings.cooldown_usec):
            return None
        self._emitted_usec = at_usec
        cells = [round(float(cell), 4) for cell in grid.flat]
        return Sighting(
            _regions(grid, max(settings.threshold / 2, _LEAST_CELL), score),
            {
                "score": score,
                "gridWidth": settings.grid_width,
                "gridHeight": settings.grid_height,
                "grid": {"width": settings.grid_width, "height": settings.grid_height, "cells": cells},
            },
        )


def _sample(luma: Luma, width: int, height: int) -> Grid:
    """Take the brightness in the middle of every cell of the grid."""
    rows = ((np.arange(height) + 0.5) * luma.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * luma.shape[1] / width).astype(int)
    return luma[np.ix_(rows, columns)].astype(np.float32)


def _regions(grid: Grid, least: float, score: float) -> tuple[Detection, ...]:
    """Group the cells that changed; without one, the whole picture is the region."""
    groups = sorted(_groups({(int(row), int(column)) for row, column in np.argwhere(grid >= least)}), key=len)
    whole = [[(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]]
    return tuple(_region(group, grid, score) for group in groups[: -_MOST_REGIONS - 1 : -1] or whole)


def _groups(cells: set[Cell]) -> Iterator[list[Cell]]:
    """Yield the cells that touch each other by a side."""
    while cells:
        group = [cells.pop()]
        for row, column in group:
            beside = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)} & cells
            cells -= beside
            group.extend(beside)
        yield group


def _region(group: list[Cell], grid: Grid, score: float) -> Detection:
    rows, columns = [row for row, _ in group], [column for _, column in group]
    height, width = grid.shape
    return Detection(
        label="motion",
        confidence=float(np.mean([grid[cell] for cell in group])),
        x=min(columns) / width,
        y=min(rows) / height,
        width=(max(columns) + 1 - min(columns)) / width,
        height=(max(rows) + 1 - min(rows)) / height,
        data={"score": score, "cells": len(group)},
    )
