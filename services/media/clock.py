"""Whether the system keeps its clock right: minted TURN credentials are only good where two clocks agree."""

import ctypes

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised to a reliable server
_TIMEX_BYTES = 256  # more than struct timex takes anywhere; all zero asks and sets nothing


def synchronised() -> bool:
    """Ask the kernel; where it cannot be asked, the clock is taken for right."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    return adjtimex is None or adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) != _TIME_ERROR
