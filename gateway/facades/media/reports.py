"""The documented ``/api`` routes: is it alive, is it ready, what runs, what does a browser need."""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NoReturn

import grpc
from flask import Blueprint, Response, abort, jsonify
from werkzeug.exceptions import MethodNotAllowed

from gateway.backend import Backend
from gateway.describe import describe, not_described
from gateway.errors import BackendError
from gateway.facades.media import payloads
from gateway.facades.media.payloads import Listener
from gen.media.v1 import media_pb2 as messages

CALL_SECONDS = 2.0
ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def add_routes(media: Blueprint, backend: Backend[Any], listener: Callable[[], Listener]) -> None:
    """Add the routes; only ``/api/config`` makes a call, the others tell the monitor's picture."""
    ours = version("pulsegate")

    @media.get("/api/health", provide_automatic_options=False)
    @describe({200: "Health", 503: "Error"})
    def health() -> tuple[Response, int]:
        """Say that the media process answers."""
        if not backend.picture.reachable:
            return jsonify(payloads.error("unavailable")), 503
        return jsonify(payloads.health(ours)), 200

    @media.get("/api/ready", provide_automatic_options=False)
    @describe({200: "Ready", 503: "Ready"})
    def ready() -> tuple[Response, int]:
        """Tell the preflight report, with 503 when it says not ready."""
        picture = backend.picture
        if not (statuses := picture.statuses()):
            return jsonify(payloads.unreachable_ready(listener(), ours)), 503
        report = payloads.ready(statuses, picture.serving(), listener(), time.time(), ours)
        return jsonify(report), 200 if report["ready"] else 503

    @media.get("/api/status", provide_automatic_options=False)
    @describe({200: "Status", 503: "Status"})
    def status() -> tuple[Response, int]:
        """Tell what runs now; 200 also when it is not ready."""
        picture = backend.picture
        if not (statuses := picture.statuses()):
            return jsonify(payloads.unreachable_status(listener(), ours)), 503
        return jsonify(payloads.status(statuses, picture.serving(), listener(), time.time(), ours)), 200

    _add_config(media, backend, listener, ours)


def _add_config(media: Blueprint, backend: Backend[Any], listener: Callable[[], Listener], ours: str) -> None:
    @media.get("/api/config", provide_automatic_options=False)
    @describe({200: "Config", 503: "Error"})
    def config() -> Response:
        """Tell what a browser needs to call, with TURN credentials made for this request."""
        answer = backend.call(backend.stub.GetConfig, messages.GetConfigRequest(), CALL_SECONDS)
        if not (statuses := backend.picture.statuses()):
            raise BackendError(grpc.StatusCode.UNAVAILABLE)
        return jsonify(payloads.config(answer, statuses[0], listener(), ours))

    @media.route("/api/<path:path>", methods=ANY_METHOD, provide_automatic_options=False)
    @not_described
    def nothing(path: str) -> NoReturn:
        """Answer 404 whatever the method, but 405 where something else is at home."""
        if path in {"artifacts", "config", "health", "ready", "status"}:
            raise MethodNotAllowed(["GET", "HEAD"])
        abort(404)
