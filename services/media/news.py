"""What the parts of the process report, as events: sessions, recordings, and components lost or back."""

from runtime.health import Health
from services.media.events import Event, Events
from services.media.peer import Peer, State

_COMPONENTS = "media."


class News:
    """Tells events of what it is told of."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._serving: dict[str, bool] = {}

    def session(self, peer: Peer) -> None:
        """Tell that a session has connected, or has ended."""
        if peer.state not in (State.ACTIVE, State.ENDED):
            return
        direction = "publish" if peer.media.publishes else "view"
        data = {"stream": peer.stream, "direction": direction}
        if peer.state is State.ENDED:
            data["reason"] = peer.end_reason or "ended"
        self._events.tell(Event(f"session.{peer.state.name.lower()}", data, peer.id))

    def recording(self, change: str, name: str) -> None:
        """Tell that a recording has begun, is complete, or has failed."""
        self._events.tell(Event(f"recording.{change}", {"name": name}))

    def clip(self, change: str, name: str) -> None:
        """Tell the same of a clip."""
        self._events.tell(Event(f"clip.{change}", {"name": f"clips/{name}"}))

    def health(self, health: Health) -> None:
        """Tell which components have been lost, or are back, since this was called last."""
        for component in health.report():
            name = component.name.removeprefix(_COMPONENTS)
            before = self._serving.get(name)
            self._serving[name] = component.serving
            if component.name.startswith(_COMPONENTS) and "." not in name and component.serving != before is not None:
                change = "back" if component.serving else "lost"
                reason = {} if component.serving else {"reason": component.last_error}
                self._events.tell(Event(f"{name}.{change}", reason))
