"""What an operator asks: is the gateway alive, does it know its backends, and what do they say."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime

import prometheus_client
from flask import Blueprint, Response, jsonify, request

from gateway.monitor import Monitor, Picture, Replica, Word


def create_blueprint(
    monitor: Monitor, services: dict[str, str], draining: Callable[[], bool], changes: Callable[[], Iterator[int]]
) -> Blueprint:
    """Make the operator's routes; ``services`` maps each backend's name to its full gRPC service name."""
    operator = Blueprint("operator", __name__)

    @operator.get("/healthz")
    def healthz() -> Response:
        """Say that the gateway lives; a backend never decides that."""
        return jsonify(status="ok")

    @operator.get("/readyz")
    def readyz() -> tuple[Response, int]:
        """Say whether there is a first verdict on every backend, whatever it is."""
        ready = monitor.judged() and not draining()
        state = "draining" if draining() else "ok" if ready else "starting"
        return jsonify(status=state, backends=_verdicts(monitor)), 200 if ready else 503

    @operator.get("/api/services")
    def list_services() -> tuple[Response, int]:
        """List everything known; ``?service=`` answers for one health name as grpc-gateway does."""
        name = request.args.get("service")
        if name is None:
            return jsonify(backends=[_describe(picture, services) for picture in monitor.pictures()]), 200
        return _one(monitor, services, name)

    @operator.get("/api/events")
    def events() -> Response:
        """Stream the same document as server-sent events, at once and on every change."""

        def documents() -> Iterator[str]:
            for version in changes():
                backends = [_describe(picture, services) for picture in monitor.pictures()]
                yield f"id: {version}\nevent: services\ndata: {json.dumps({'backends': backends})}\n\n"

        return Response(
            documents(), content_type="text/event-stream; charset=utf-8", headers={"Cache-Control": "no-cache"}
        )

    @operator.get("/metrics")
    def metrics() -> Response:
        """Expose the gateway's own metrics to Prometheus."""
        return Response(prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST)

    return operator


def error_response(status: int, error: Exception) -> Response:
    """Tell an error to an operator."""
    response = jsonify(error=getattr(error, "name", type(error).__name__))
    response.status_code = status
    return response


def _verdicts(monitor: Monitor) -> dict[str, str]:
    return {picture.name: _state(picture) for picture in monitor.pictures()}


def _state(picture: Picture) -> str:
    if not picture.judged:
        return "unknown"
    if not picture.reachable:
        return "unreachable"
    return "serving" if picture.serving() else "not_serving"


def _describe(picture: Picture, services: dict[str, str]) -> dict[str, object]:
    return {
        "name": picture.name,
        "service": services[picture.name],
        "state": _state(picture),
        "replicas": [_describe_replica(replica) for replica in picture.replicas],
    }


def _describe_replica(replica: Replica) -> dict[str, object]:
    return {
        "address": replica.address,
        "reachable": replica.reachable,
        "since": _time(replica.since),
        "lastError": replica.last_error,
        "checkMs": None if replica.check_seconds is None else round(1000 * replica.check_seconds, 3),
        "health": _health(replica),
    }


def _health(replica: Replica) -> list[dict[str, object]]:
    reported = {one.name: one for one in getattr(replica.status, "health", ())}
    names = sorted(reported.keys() | replica.words.keys())
    return [_describe_name(name, replica.words.get(name), reported.get(name)) for name in names]


def _describe_name(name: str, word: Word | None, reported: object) -> dict[str, object]:
    """Merge the last word of the health protocol with the reason that only the status document has."""
    since = reported.since.ToDatetime() if reported else word.since if word else None  # type: ignore[attr-defined]
    serving = "SERVING" if getattr(reported, "serving", False) else "NOT_SERVING"
    return {
        "name": name,
        "status": word.status if word else serving,
        "since": _time(since) if since else None,
        "lastError": getattr(reported, "last_error", ""),
    }


def _one(monitor: Monitor, services: dict[str, str], name: str) -> tuple[Response, int]:
    for picture in monitor.pictures():
        known = {
            services[picture.name],
            picture.name,
            *(one for r in picture.replicas for one in r.words if "." in one),
        }
        if name in known:
            serving = picture.serving(name if "." in name and name != services[picture.name] else "")
            return jsonify(service=name, status="SERVING" if serving else "NOT_SERVING"), 200 if serving else 503
    return jsonify(service=name, status="SERVICE_UNKNOWN"), 404


def _time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
