"""The operator's console: one page and what it loads, served as it lies in this folder."""

from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from flask import Blueprint, Response, request

from gateway.describe import not_described

FOLDER = files(__name__)
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
    "/parts.js": "parts.js",
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
        pages.add_url_rule(path, name.replace(".", "_"), view_of(FOLDER / name))
    return pages


def view_of(file: Traversable) -> Callable[[], Response]:
    """Make the view that serves one file."""
    body = file.read_bytes()
    etag = sha256(body).hexdigest()[:16]
    content_type = CONTENT_TYPES[file.name.rpartition(".")[2]]

    @not_described
    def view() -> Response:
        response = Response(body, content_type=content_type, headers=HEADERS)
        response.set_etag(etag)
        response.make_conditional(request)
        return response

    return view
