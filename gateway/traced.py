"""Answers as spans, where somebody asks for them."""

from gateway.bridge import ROUTE, Application, Event, Receive, Scope, Send
from runtime import traces


class Traced:
    """An ASGI application each of whose answers is a span, below the client's if it names one; probes are left out."""

    def __init__(self, application: Application, facade: str, probes: frozenset[str]) -> None:
        self._application = application
        self._facade = facade
        self._probes = probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"].removeprefix(scope.get("root_path", "")) in self._probes:
            await self._application(scope, receive, send)
            return
        status = 0

        async def note(event: Event) -> None:
            nonlocal status
            status = event.get("status", status)
            await send(event)

        method = scope["method"]
        told = {"http.request.method": method, "url.scheme": scope["scheme"], "pulsegate.facade": self._facade}
        carrier = [(str(name, "latin-1"), str(value, "latin-1")) for name, value in scope["headers"]]
        with traces.span(method, "SERVER", told, carrier) as span:
            try:
                await self._application(scope, receive, note)
            finally:
                if span is not None:
                    if route := scope.get(ROUTE):  # never the path: a session's address in it is a credential
                        span.update_name(f"{method} {route}")
                        span.set_attribute("http.route", route)
                    traces.note_status(span, status, failing=500)
