"""One JSON object per log line on stderr, carrying the id of the request it belongs to."""

import json
import logging
import sys

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def configure(level: str) -> None:
    """Send every log line of this process to stderr as JSON with time, level, module and message.

    Modules use the standard library's loggers with a constant message and ``extra`` fields; what
    ``bind_request`` bound is added. No secret, prompt or SDP body may be logged.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _in_our_words,
                structlog.processors.JSONRenderer(_as_json),
            ],
        )
    )
    # Nothing of this is in a line, and finding it out is a fifth of a line's cost (as the logging documentation says).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def bind_request(request_id: str) -> None:
    """Put the request id on every line this task logs from now on."""
    structlog.contextvars.bind_contextvars(request_id=request_id)


def _as_json(event: EventDict, **_of_the_standard_library: object) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a character, or a number beyond 64 bits
        return json.dumps(event, default=str)


def _in_our_words(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    head = {"time": event.pop("time"), "level": event.pop("level"), "module": event.pop("logger")}
    return {**head, "message": event.pop("event"), **event}
