"""The routes that tell how the LLM proxy is: /, /health and /status."""

from typing import Any

from flask import Blueprint, Response

from gateway.backend import Backend
from gateway.describe import describe
from gateway.facades.llmproxy.access import Access
from gateway.facades.llmproxy.documents import health_document, status_document, unhealthy_document
from gateway.facades.llmproxy.errors import json_response, status_error
from gateway.settings import GatewaySettings


def add_routes(blueprint: Blueprint, backend: Backend[Any], settings: GatewaySettings, access: Access) -> None:
    """Add the routes to the façade."""

    @blueprint.get("/")
    @describe({200: "Info"})
    def info() -> Response:
        """Tell the two keys that are documented."""
        return json_response({"message": "LLMs API", "version": "1.0.0"})

    @blueprint.get("/health")
    @describe({200: "Health", 503: "Health"})
    def health() -> Response:
        """Tell whether messages are answered; more to who may know it."""
        if not backend.picture.serving():
            return json_response(unhealthy_document(), 503)
        if not access.detailed():
            return json_response({"status": "healthy"})
        return json_response(health_document(backend.picture.statuses(), settings))

    @blueprint.get("/status")
    @describe({200: "Status", 401: "StatusError", 503: "StatusError"})
    def status() -> Response:
        """Tell the documented status of the process that serves."""
        if not backend.picture.serving():
            return status_error(503)
        return json_response(status_document(backend.picture.statuses(), settings))
