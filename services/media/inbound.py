"""What one publisher sends, encoded, for whoever relays, records or looks at it."""

import time
from collections.abc import Callable

from services.media.unit import Kind, Unit

_SECONDS_BETWEEN_KEYS = 0.3


class Inbound:
    """The units of one publisher, never decoded: H.264 access units in Annex B form and Opus packets.

    ``publisher`` is the whole id of its session: log and show its beginning only. ``label`` is what whoever called
    goes by, and may be shown. ``kinds`` names the tracks it was granted, which says nothing of whether they ever carry
    something.

    Units come in order and whole: a picture that stayed incomplete is left out with all that follow it up to the
    next key frame, which is asked for, so a reader never sees a broken one. Every key frame has its parameter sets in
    band. ``Unit.timestamp`` counts in the clock rate of its kind (90 kHz, 48 kHz) since one instant, the same for
    video and audio and for every publisher of this process; it rises strictly within a kind and is in step with the
    sender's own clock, as its sender reports tell it. Sound that was lost is a gap in the timestamps.

    On the loop: ``listen`` hands every unit from now on to a function that must return at once; whoever is slower
    queues for itself, within bounds. ``end`` is called by the session; it calls what was given to ``on_end`` once, and
    nothing comes afterwards.
    """

    def __init__(
        self, stream: str, publisher: str, label: str, kinds: tuple[Kind, ...], ask_for_key: Callable[[], None]
    ) -> None:
        self.stream = stream
        self.publisher = publisher
        self.label = label
        self.kinds = kinds
        self.ended = False
        self.most_bitrate = 0
        """The most that its readers can take, in bits per second; 0 while nobody says."""
        self._ask_for_key = ask_for_key
        self._key_asked = float("-inf")
        self._listeners: list[Callable[[Unit], None]] = []
        self._on_end: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[Unit], None]) -> Callable[[], None]:
        """Hand every unit to a listener; the result ends that."""
        self._listeners.append(listener)
        self.want_key()

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def on_end(self, function: Callable[[], None]) -> None:
        """Call a function once the publisher has ended; at once if it has."""
        if self.ended:
            function()
        else:
            self._on_end.append(function)

    def want_key(self) -> bool:
        """Ask the publisher for a key frame, three times a second at most; tells whether there is one to ask."""
        if self.ended:
            return False
        now = time.monotonic()
        if now - self._key_asked >= _SECONDS_BETWEEN_KEYS:
            self._key_asked = now
            self._ask_for_key()
        return True

    def push(self, unit: Unit) -> None:
        """Take a unit from the session."""
        for listener in tuple(self._listeners):
            listener(unit)

    def end(self) -> None:
        """Say that nothing comes any more."""
        if self.ended:
            return
        self.ended = True
        self._listeners.clear()
        for function in self._on_end:
            function()
        self._on_end.clear()
