import pytest
from opentelemetry.sdk.trace import TracerProvider

from runtime import traced_rpc, traces

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "name"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_done_where_nobody_asks_for_spans(variables):
    stop = traces.start("thing", variables)
    assert not traces.on()
    with traces.span("name", "SERVER", {}, [("traceparent", "any")]) as span:
        assert span is None
    with traces.apart("name", "CLIENT", {}) as span:
        assert (span, traces.headers_of(span)) == (None, {})
    assert traced_rpc.server_interceptors() == traced_rpc.client_interceptors() == []
    stop()


@pytest.mark.parametrize("more", [{"OTEL_TRACES_EXPORTER": "zipkin"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}], ids=str)
def test_what_cannot_be_done_is_said(more, caplog):
    traces.start("thing", {**ENDPOINT, **more})
    assert not traces.on()
    assert "not sent" in caplog.text


@pytest.fixture
def recording():
    """Spans are made, and sent nowhere."""
    traces._tracers[:] = [TracerProvider().get_tracer("test")]
    yield
    traces._tracers.clear()


def test_a_span_apart_is_below_the_current_one_and_tells_the_next_process_of_itself(recording):
    with traces.span("outer", "SERVER", {}) as outer, traces.apart("inner", "CLIENT", {}) as inner:
        assert inner.parent == outer.get_span_context()
        told = traces.headers_of(inner)["traceparent"].split("-")
    assert told[1:3] == [f"{inner.context.trace_id:032x}", f"{inner.context.span_id:016x}"]


def test_a_span_goes_on_where_the_caller_began_and_a_broken_word_begins_a_new_one(recording):
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with traces.span("one", "SERVER", {}, [("traceparent", f"00-{trace}-{caller}-01")]) as span:
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, caller)
    with traces.span("one", "SERVER", {}, [("traceparent", "nonsense")]) as span:
        assert span.parent is None


def test_a_failure_is_told_by_its_type_or_status_and_never_by_its_words(recording):
    with pytest.raises(KeyError), traces.apart("one", "CLIENT", {}) as span:
        raise KeyError("a secret")
    assert (dict(span.attributes), span.events, span.status.description) == ({"error.type": "KeyError"}, (), None)
    with traces.apart("one", "CLIENT", {}) as span:
        traces.note_status(span, 503, failing=500)
    assert dict(span.attributes) == {"http.response.status_code": 503, "error.type": "503"}
    assert not span.status.is_ok
