"""The source of a stream as something to look at: it never sleeps then."""

from collections.abc import Callable

from services.media.fanout import Hub
from services.media.unit import Unit

_SECONDS_BETWEEN_KEYS = 0.3


class WatchedSource:
    """What a hub sends to its viewers, for a detector that is one of them."""

    publisher = ""

    def __init__(self, stream: str, label: str, hub: Hub) -> None:
        self.stream = stream
        self.label = label
        self._hub = hub

    def listen(self, listener: Callable[[Unit], None]) -> Callable[[], None]:
        """Hand every unit to a listener, as long as its result is not called."""
        self._hub.claim()
        untap = self._hub.tap(listener)

        def stop() -> None:
            untap()
            self._hub.release()

        return stop

    def want_key(self) -> bool:
        """Ask for a key frame."""
        return self._hub.want_key(_SECONDS_BETWEEN_KEYS)

    def on_end(self, function: Callable[[], None]) -> None:
        """Do nothing: a source is there for as long as the process."""
