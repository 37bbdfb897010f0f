"""What a façade would answer now, asked of its own Flask application and not over a socket."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask
from werkzeug.test import create_environ, run_wsgi_app


@dataclass(frozen=True)
class Answer:
    """One answer as a client on this machine gets it that sends no key."""

    path: str
    status: int
    content_type: str
    body: str


def ask(application: Flask, port: int, paths: Iterable[str]) -> list[Answer]:
    """Ask for each path; a view that waits for a backend is waited for."""
    return [_ask(application, port, path) for path in paths]


def _ask(application: Flask, port: int, path: str) -> Answer:
    environ = create_environ(path, f"http://localhost:{port}", environ_base={"REMOTE_ADDR": "127.0.0.1"})
    chunks, status, headers = run_wsgi_app(application, environ, buffered=True)
    return Answer(path, int(status[:3]), headers.get("Content-Type", ""), b"".join(chunks).decode(errors="replace"))
