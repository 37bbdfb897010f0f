"""Who may call the media server, and what every answer of it carries."""

import hmac

from flask import Blueprint, Request, Response, abort, request

HEADERS = frozenset({"authorization", "x-icey-token"})


def guard(media: Blueprint, token: bytes) -> None:
    """Ask for the token, where one is configured, before anything else is said; never for health or the page."""

    @media.before_app_request
    def authorize() -> None:
        if token and protected(request.path) and not _authorized(request, token):
            abort(401)

    @media.after_app_request
    def harden(response: Response) -> Response:
        if request.path.startswith("/api/") or protected(request.path):
            response.headers["Cache-Control"] = "no-store"
        if token and signalling(request.path):
            # Only with a token: without one any site a visitor opens could watch the camera next to him.
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = "Location, Link"
        return response


def signalling(path: str) -> bool:
    """Whether a path begins or ends sessions."""
    return path in {"/whip", "/whep"} or path.startswith(("/whip/", "/whep/", "/session/"))


def protected(path: str) -> bool:
    """Whether a path is for those who know the token."""
    return (path.startswith(("/api/", "/artifacts/")) and path != "/api/health") or signalling(path)


def _authorized(asked: Request, token: bytes) -> bool:
    """Try each documented way; a wrong one does not stop the next."""
    if asked.method == "OPTIONS" and signalling(asked.path):
        return True  # a browser asks this way before it may send the header
    scheme, _, bearer = asked.headers.get("Authorization", "").partition(" ")
    offered = (
        bearer if scheme.lower() == "bearer" else "",
        asked.headers.get("X-Icey-Token", ""),
        asked.args.get("token", ""),
    )
    equal = [hmac.compare_digest(one.encode("utf-8", "surrogatepass"), token) for one in offered]
    return any(equal)
