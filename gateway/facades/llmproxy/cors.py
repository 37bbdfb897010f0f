"""Which pages of other sites may read what the LLM proxy answers."""

from flask import Response, request

from gateway.settings import GatewaySettings

NOT_FOR_OTHER_SITES = ("/providers", "/usage", "/ui")
HEADERS = (
    *("Origin", "Content-Type", "Accept", "Authorization"),
    *("x-api-key", "anthropic-version", "anthropic-beta", "x-request-id"),
)


class Cors:
    """Adds the documented headers: any site by default, some or none by settings."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._origins = frozenset(settings.llmproxy_cors_origins if settings.llmproxy_cors else ())
        self._headers = {
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
            "Access-Control-Allow-Headers": ", ".join((*HEADERS, *settings.llmproxy_cors_headers)),
            "Access-Control-Max-Age": "86400",
        }

    def add(self, response: Response) -> None:
        """Add what the page that asks may do; nothing for a site that is not let in."""
        if not self._origins or request.path.startswith(NOT_FOR_OTHER_SITES):
            return
        if "*" in self._origins:
            response.headers["Access-Control-Allow-Origin"] = "*"
        else:
            response.vary.add("Origin")
            if request.headers.get("Origin") not in self._origins:
                return
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers.update(self._headers)
