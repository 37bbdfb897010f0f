"""Spans from the real processes to a receiver of OTLP in the test's own."""

import json
from http.server import BaseHTTPRequestHandler

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.e2e.system import START_SECONDS, request, wait_for
from tests.e2e.vendor import serving, serving_vendor

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        told = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in told.resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.server.asked += [(attributes["service.name"], span) for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *_):
        pass


@pytest.fixture
def traced(own_system):
    """Everything running but media, each telling its spans to the collector."""
    with serving(Collector) as collector, serving_vendor(own_system) as vendor:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        own_system.start("converter", "llmproxy", "gateway", **variables)
        wanted = {"converter": "serving", "llmproxy": "serving"}
        wait_for(lambda: wanted.items() <= (own_system.states() or {}).items(), START_SECONDS, "both to serve")
        own_system.collector, own_system.vendor = collector, vendor
        yield own_system
        own_system.stop()


def chain(collector, leaf):
    """Return the spans from the client's call down to the one of that process and name, once all are there."""
    spans = []

    def whole():
        by_id = {span.span_id: (process, span) for process, span in collector.asked}
        spans[:] = [one for one in collector.asked if (one[0], one[1].name) == leaf][:1]
        while spans and spans[-1][1].parent_span_id in by_id:
            spans.append(by_id[spans[-1][1].parent_span_id])
        return spans and spans[-1][1].parent_span_id.hex() == CALLER

    wait_for(whole, 20, f"every span down to {leaf}")
    assert {span.trace_id.hex() for _, span in spans} == {TRACE}
    return [(process, span.name) for process, span in reversed(spans)]


def value(span, key):
    (found,) = [one.value for one in span.attributes if one.key == key]
    return found.string_value or found.int_value


def test_a_call_is_one_trace_from_the_client_through_every_process_to_the_provider(traced):
    conversion = json.dumps({"categoria": "longitud", "valor": 5, "desde": "km", "hasta": "mi"}).encode()
    message = {"model": "same", "max_tokens": 5, "messages": [{"role": "user", "content": "a secret"}], "stream": True}
    headers = {"Content-Type": "application/json", "traceparent": TRACEPARENT}
    assert request(traced.url("converter", "/api/convert"), conversion, headers)[0] == 200
    batch = "converter.v1.ConverterService/ConvertBatch"
    assert chain(traced.collector, ("pulsegate-converter", batch)) == [
        ("pulsegate-gateway", "POST /api/convert"),
        ("pulsegate-gateway", batch),
        ("pulsegate-converter", batch),
    ]

    message["stream"] = False
    assert request(traced.url("llmproxy", "/v1/messages"), json.dumps(message).encode(), headers)[0] == 200
    create = "llmproxy.v1.LlmProxyService/CreateMessage"
    assert chain(traced.collector, ("pulsegate-llmproxy", "POST")) == [
        ("pulsegate-gateway", "POST /v1/messages"),
        ("pulsegate-gateway", create),
        ("pulsegate-llmproxy", create),
        ("pulsegate-llmproxy", "POST"),
    ]
    assert TRACE in next(value for name, value in traced.vendor.asked[-1].items() if name.lower() == "traceparent")
    assert "a secret" not in str(traced.collector.asked)

    assert traced.get("converter", "/api/status")[0] == traced.get("llmproxy", "/health")[0] == 200
    assert request(traced.url("converter", "/api/unidades/nada"), headers={"traceparent": TRACEPARENT})[0] == 400
    assert traced.terminate("gateway") == 0
    spans = [span for process, span in traced.collector.asked if process == "pulsegate-gateway"]
    assert {span.name for span in spans if span.kind == span.SPAN_KIND_SERVER} == {
        "POST /api/convert",
        "POST /v1/messages",
        "GET /api/unidades/<category>",
    }
    statuses = {span.name: value(span, "http.response.status_code") for span in spans if span.name[0] in "PG"}
    assert statuses == {"POST /api/convert": 200, "POST /v1/messages": 200, "GET /api/unidades/<category>": 400}
