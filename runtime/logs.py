"""One JSON object per log line on stderr, carrying the id of the request it belongs to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import orjson

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered, empty outside of one; on every line logged meanwhile."""

_OWN_OF_A_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str) -> None:
    """Send every log line of this process to stderr as JSON with time, level, module and message.

    Modules use the standard library's loggers with a constant message and ``extra`` fields; the request id is added.
    No secret, prompt or SDP body may be logged.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson())
    # Nothing of this is in a line, and finding it out is a third of a line's cost (as the logging documentation says).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001  documented there under "Optimization"
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class _AsJson(logging.Formatter):
    """Every request leaves a line, so this is on the way of each."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        line: dict[str, Any] = {
            "time": f"{time.isoformat(timespec='microseconds')}Z",
            "level": record.levelname.lower(),
            "module": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request_id"] = request
        line |= {name: value for name, value in vars(record).items() if name not in _OWN_OF_A_RECORD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # half a character, or a number beyond 64 bits
            return json.dumps(line, default=str)
