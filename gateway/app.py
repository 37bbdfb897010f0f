"""Make the Flask application of one façade."""

import logging
from collections.abc import Callable

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from gateway import openapi
from gateway.bridge import REFUSED, ROUTE, SCOPE
from gateway.errors import BackendError

log = logging.getLogger(__name__)


def create_app(
    name: str,
    blueprint: Blueprint,
    error_response: Callable[[int, Exception], Response],
    max_body_bytes: int,
) -> Flask:
    """Put a blueprint on an application of its own, whose every error is told in the façade's own envelope.

    One application per façade, because a blueprint cannot own 404 and 405. What the description of its
    routes needs besides them lies in the blueprint's package.
    """
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.json.compact = True  # type: ignore[attr-defined]  # Flask's default provider has it

    @app.before_request
    def refuse() -> None:
        """Come before everything else of the façade: nothing is done for a request beyond the limits."""
        if (scope := request.environ.get(SCOPE)) and (error := scope.get(REFUSED)):
            raise error

    @app.errorhandler(BackendError)
    def on_backend_error(error: BackendError) -> Response:
        log.info("backend call failed", extra={"facade": name, "code": error.code.name})
        return error_response(error.status, error)

    @app.errorhandler(HTTPException)
    def on_http_exception(error: HTTPException) -> Response:
        response = error_response(error.code or 500, error)
        for key, value in error.get_headers():
            if key in {"Allow", "Retry-After"}:
                response.headers[key] = value
        return response

    @app.errorhandler(Exception)
    def on_bug(error: Exception) -> Response:
        log.error("unexpected failure", exc_info=error, extra={"facade": name})
        return error_response(500, error)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        rule, scope = request.url_rule, request.environ.get(SCOPE)
        if rule is not None and scope is not None:
            scope[ROUTE] = rule.rule
        return response

    app.register_blueprint(blueprint)
    openapi.add_routes(app, blueprint.import_name)
    return app
