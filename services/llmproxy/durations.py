"""Durations as Go writes them: ``100ms``, ``1h30m``, or whole nanoseconds."""

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(value: object) -> float:
    """Read a duration; raises ``ValueError`` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value / 1e9
    if isinstance(value, str):
        text = value.strip()
        if text == "0":
            return 0.0
        if text and _PART.sub("", text) == "":
            return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    raise ValueError(f"invalid duration: {value!r}")
