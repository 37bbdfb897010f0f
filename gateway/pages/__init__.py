"""The operator's console: one page and what it loads, served as it lies in this folder."""

from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files

from flask import Blueprint, Response, request

from gateway.describe import not_described

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FILES = {
    "/": "console.html",
    "/console.css": "console.css",
    "/console.js": "console.js",
    "/dom.js": "dom.js",
    "/theme.js": "theme.js",
    "/icon.svg": "icon.svg",
    "/icon-alert.svg": "icon-alert.svg",
}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def create_blueprint() -> Blueprint:
    """Make a route for every file; a browser that has the current one is told 304."""
    pages = Blueprint("pages", __name__)
    for path, name in FILES.items():
        pages.add_url_rule(path, name.replace(".", "_"), _view(name))
    return pages


def _view(name: str) -> Callable[[], Response]:
    body = files(__name__).joinpath(name).read_bytes()
    etag = sha256(body).hexdigest()[:16]
    content_type = CONTENT_TYPES[name.rpartition(".")[2]]

    @not_described
    def view() -> Response:
        response = Response(body, content_type=content_type, headers=HEADERS)
        response.set_etag(etag)
        response.make_conditional(request)
        return response

    return view
