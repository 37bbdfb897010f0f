"""Bring the RTP clocks of one sender's tracks onto one clock, the one this process runs by."""

from dataclasses import dataclass

from services.media.unit import CLOCK_RATES, Kind

_WRAP = 1 << 32
_MOST_SLEW_SECONDS = 0.001
_LARGEST_OFFSET_SECONDS = 5.0


@dataclass(slots=True)
class _Track:
    """Where one track's clock stands."""

    rate: int
    unwrapped: int
    offset: int
    """Ticks from the sender's count to ours."""
    last: int
    reported: tuple[float, int] | None = None
    """The sender's wall clock with its own count at that moment, as its latest report says."""


class Timeline:
    """Stamps what one sender sends.

    A track begins at the moment at which it arrives. Once the sender has reported how its clocks hang together
    (RFC 3550, section 6.4.1), the picture is brought into step with the sound, a millisecond a picture, so that
    nobody sees a jump.
    """

    def __init__(self) -> None:
        self._tracks: dict[Kind, _Track] = {}

    def stamp(self, kind: Kind, timestamp: int, now: float) -> int:
        """Tell our time of an RTP timestamp, in ticks of its kind; rises strictly."""
        track = self._tracks.get(kind)
        rate = CLOCK_RATES[kind]
        if track is None:
            arrived = round(now * rate)
            self._tracks[kind] = _Track(rate, timestamp, arrived - timestamp, arrived)
            return arrived
        track.unwrapped = _near(timestamp, track.unwrapped)
        if kind == "video":
            self._step(track)
        track.last = max(track.unwrapped + track.offset, track.last + 1)
        return track.last

    def restart(self, kind: Kind, timestamp: int, now: float) -> None:
        """Take a track for new at a timestamp that arrives now: its sender counts from somewhere else."""
        if (track := self._tracks.get(kind)) is not None:
            track.unwrapped = timestamp
            track.offset = round(now * track.rate) - timestamp
            track.reported = None

    def report(self, kind: Kind, wall_seconds: float, timestamp: int) -> None:
        """Take a sender report: what the sender's clocks read at one moment."""
        if (track := self._tracks.get(kind)) is not None:
            track.reported = (wall_seconds, _near(timestamp, track.unwrapped))

    def _step(self, video: _Track) -> None:
        audio = self._tracks.get("audio")
        if audio is None or audio.reported is None or video.reported is None:
            return
        sound_at = (audio.reported[1] + audio.offset) / audio.rate - audio.reported[0]
        picture_at = (video.reported[1] + video.offset) / video.rate - video.reported[0]
        error = sound_at - picture_at
        if abs(error) < _LARGEST_OFFSET_SECONDS:  # else the sender's clocks do not hang together at all
            step = max(-_MOST_SLEW_SECONDS, min(_MOST_SLEW_SECONDS, error))
            video.offset += round(step * video.rate)


def _near(timestamp: int, reference: int) -> int:
    """Tell which count a wrapped timestamp means, seen from one not far away."""
    return reference + (timestamp - reference + _WRAP // 2) % _WRAP - _WRAP // 2
