"""What an operator asks: is the gateway alive, does it know its backends, and what do they say."""

import hmac
import json
from collections.abc import Callable, Iterator

import prometheus_client
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import Unauthorized

from gateway import pages
from gateway.describe import describe
from gateway.monitor import Monitor, Replica
from gateway.overview import Overview

# Probes, descriptions, and pages that hold nothing before a token is given.
OPEN = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json", *pages.FILES})
RETRY_MILLISECONDS = 1000  # until a page asks again after the gateway went away


def create_blueprint(
    overview: Overview,
    draining: Callable[[], bool],
    changes: Callable[[], Iterator[int]],
    token: bytes = b"",
    *,
    open_metrics: bool = False,
) -> Blueprint:
    """Make the operator's routes; with a token they ask for it."""
    operator = Blueprint("operator", __name__)
    if token:
        _guard(operator, token, OPEN | {"/metrics"} if open_metrics else OPEN)
    operator.register_blueprint(pages.create_blueprint())
    monitor = overview.monitor
    services = {one.name: one.service for one in overview.exposed}

    @operator.get("/healthz")
    @describe({200: "Alive"})
    def healthz() -> Response:
        """Say that the gateway lives; a backend never decides that."""
        return jsonify(status="ok")

    @operator.get("/readyz")
    @describe({200: "Readiness", 503: "Readiness"})
    def readyz() -> tuple[Response, int]:
        """Say whether there is a first verdict on every backend, whatever it is."""
        ready = monitor.judged() and not draining()
        state = "draining" if draining() else "ok" if ready else "starting"
        return jsonify(status=state, backends=_verdicts(monitor)), 200 if ready else 503

    @operator.get("/api/services")
    @describe(
        {200: "Services", 404: "Service", 503: "Service"}, query={"service": "Only the state of this health name."}
    )
    def list_services() -> tuple[Response, int]:
        """List everything known; ``?service=`` answers for one health name as grpc-gateway does."""
        name = request.args.get("service")
        if name is None:
            return jsonify(overview.document(_host())), 200
        return _one(monitor, services, name)

    @operator.get("/api/events")
    @describe({200: "text/event-stream"})
    def events() -> Response:
        """Stream the same document as server-sent events, at once, on every change, and after some silence."""
        host = _host()

        def documents() -> Iterator[str]:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            for version in changes():
                document = json.dumps(overview.document(host), separators=(",", ":"), ensure_ascii=False)
                yield f"id: {version}\nevent: services\ndata: {document}\n\n"

        return Response(
            documents(), content_type="text/event-stream; charset=utf-8", headers={"Cache-Control": "no-cache"}
        )

    @operator.get("/metrics")
    @describe({200: "text/plain"})
    def metrics() -> Response:
        """Expose the gateway's own metrics to Prometheus."""
        return Response(prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST)

    return operator


def error_response(status: int, error: Exception) -> Response:
    """Tell an error to an operator."""
    response = jsonify(error=getattr(error, "name", type(error).__name__))
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _guard(operator: Blueprint, token: bytes, open_paths: frozenset[str]) -> None:
    @operator.before_app_request
    def authorize() -> None:
        scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and hmac.compare_digest(offered.strip().encode("utf-8", "replace"), token)
        if not known and request.path not in open_paths:
            raise Unauthorized


def _host() -> str:
    """Tell how the client calls this machine."""
    return request.host.removesuffix(f":{request.environ['SERVER_PORT']}")


def _verdicts(monitor: Monitor) -> dict[str, str]:
    return {picture.name: picture.state for picture in monitor.pictures()}


def _one(monitor: Monitor, services: dict[str, str], name: str) -> tuple[Response, int]:
    for picture in monitor.pictures():
        whole = name in {picture.name, services[picture.name]}
        said = [found[name] for found in map(_names, picture.replicas) if name in found]
        if whole or said:
            serving = picture.serving() if whole else any(said)
            return jsonify(service=name, status="SERVING" if serving else "NOT_SERVING"), 200 if serving else 503
    return jsonify(service=name, status="SERVICE_UNKNOWN"), 404


def _names(replica: Replica) -> dict[str, bool]:
    """Tell of every part of a replica, watched or named by its status document, whether it serves."""
    reported = {part.name: replica.reachable and part.serving for part in getattr(replica.status, "health", ())}
    known = {**reported, **{name: replica.serving(name) for name in replica.words}}
    return {name: serving for name, serving in known.items() if "." in name}
