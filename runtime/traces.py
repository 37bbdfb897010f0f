"""Spans of OpenTelemetry, sent where its own OTEL_* variables say; while they are unset nothing is loaded or done."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:  # the extra `otel`; only needed once somebody asks for spans
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

Kind = Literal["SERVER", "CLIENT"]
Attributes: TypeAlias = Mapping[str, str | int]

# What asks for spans; the rest (headers, time-outs, sampling, resource) OpenTelemetry's SDK reads by itself.
# https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER, DISABLED, PROTOCOLS = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
)
PROTOCOL = "http/protobuf"

_tracers: "list[Tracer]" = []  # of this process, none or one: spans are made wherever a call passes
_nothing: AbstractContextManager[None] = nullcontext()

log = logging.getLogger(__name__)


def start(process: str, variables: Mapping[str, str] = os.environ) -> Callable[[], None]:
    """Begin to send spans if the variables ask for it; return what sends the last ones and ends it."""
    if not _wanted(variables):
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("spans are asked for and not sent: the extra otel is not installed")
        return lambda: None
    told = {"service.version": version("pulsegate")}
    if not variables.get("OTEL_SERVICE_NAME") and "service.name=" not in variables.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        told["service.name"] = f"pulsegate-{process}"
    provider = TracerProvider(resource=Resource.create(told))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracers[:] = [provider.get_tracer("pulsegate", version("pulsegate"))]

    def stop() -> None:
        _tracers.clear()
        provider.shutdown()

    return stop


def on() -> bool:
    """Tell whether spans are sent."""
    return bool(_tracers)


def span(
    name: str, kind: Kind, attributes: Attributes, carrier: Iterable[tuple[str, str]] | None = None
) -> "AbstractContextManager[Span | None]":
    """Make a span for what is done within, below the caller's that ``carrier`` names, else below the current one."""
    if not _tracers:
        return _nothing
    from opentelemetry.trace import SpanKind

    return _tracers[0].start_as_current_span(
        name, _parent(carrier), SpanKind[kind], attributes, record_exception=False, set_status_on_exception=False
    )


def begin(
    name: str, kind: Kind, attributes: Attributes, carrier: Iterable[tuple[str, str]] | None = None
) -> "Span | None":
    """Begin a span that the caller ends, for what does not begin and end in one place."""
    if not _tracers:
        return None
    from opentelemetry.trace import SpanKind

    return _tracers[0].start_span(name, _parent(carrier), SpanKind[kind], attributes)


def make_current(span: "Span | None") -> None:
    """Put the spans that this task makes from now on below this one."""
    if span is not None:
        from opentelemetry.context import attach
        from opentelemetry.trace import set_span_in_context

        attach(set_span_in_context(span))


def headers_of(span: "Span | None") -> dict[str, str]:
    """Return what tells the next process of a span."""
    told: dict[str, str] = {}
    if span is not None:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(told, set_span_in_context(span))
    return told


@contextmanager
def apart(name: str, kind: Kind, attributes: Attributes) -> "Iterator[Span | None]":
    """Make a span for what is done within, without making it the current one: it may end in another task."""
    span = begin(name, kind, attributes)
    try:
        yield span
    except BaseException as error:
        if span is not None:
            failed(span, type(error).__name__)
        raise
    finally:
        if span is not None:
            span.end()


def note_status(span: "Span | None", status: int, failing: int) -> None:
    """Note the status of an HTTP answer, which is a failure from ``failing`` on."""
    if span is not None:
        span.set_attribute("http.response.status_code", status)
        if status >= failing:
            failed(span, str(status))


def failed(span: "Span", why: str) -> None:
    """Mark a span as failed; the reason is a code or a type, never a message."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", why)
    span.set_status(Status(StatusCode.ERROR))


def _parent(carrier: Iterable[tuple[str, str]] | None) -> "Context | None":
    """Read who called; one who names no span begins a trace, as does a call without a carrier outside any span."""
    if carrier is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(dict(carrier))


def _wanted(variables: Mapping[str, str]) -> bool:
    exporter = variables.get(EXPORTER, "")
    if variables.get(DISABLED, "").lower() == "true" or exporter == "none":
        return False
    if not (exporter or any(variables.get(name) for name in ENDPOINTS)):
        return False
    protocol = next((variables[name] for name in PROTOCOLS if variables.get(name)), PROTOCOL)
    if exporter not in ("", "otlp") or protocol != PROTOCOL:
        log.warning("spans are asked for and not sent: only otlp by http/protobuf is known")
        return False
    return True
