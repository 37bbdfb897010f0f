"""Which replica a media session belongs to: publishers and viewers of one stream must meet, and stay met."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.monitor import Replica
from gen.media.v1 import media_pb2 as messages

TAG_CHARACTERS = 8


def candidates(stream: str, replicas: Iterable[Replica]) -> list[str]:
    """Tell the addresses where a session of a stream may begin, best first; empty when none serves.

    A relayed stream is where it already lives, with its publisher if it has one; else the replica that its name and
    the address score highest is the same for every gateway that sees the same replicas (rendezvous hashing), and a
    replica that comes or goes moves only its own streams. Where every replica makes the stream by itself, or keeps
    what it is given, the one with the fewest sessions comes first.
    """
    serving = _serving(replicas)
    if _relayed(serving):
        return _where_it_lives(stream, serving)
    return sorted(_ranked(stream, serving), key=lambda address: serving[address].sessions.active)


def meeting_places(replicas: Iterable[Replica]) -> list[str]:
    """Tell where clients that want to find each other should go, best first: to the default stream's replica."""
    return _where_it_lives("", _serving(replicas))


def public_id(session_id: str, address: str) -> str:
    """Write the id by which a session is known outside: it carries its replica, whose address it does not tell."""
    return f"{_tag(address)}.{session_id}"


def find(public: str, replicas: Sequence[Replica]) -> tuple[str, str] | None:
    """Read such an id: the address of the replica and the session's id there; None where there is no such replica."""
    tag, _, session_id = public.partition(".")
    for replica in replicas:
        if tag == _tag(replica.address):
            return replica.address, session_id
    return None


def _serving(replicas: Iterable[Replica]) -> dict[str, Any]:
    return {one.address: one.status for one in replicas if one.serving() and one.status is not None}


def _relayed(serving: dict[str, Any]) -> bool:
    return any(status.mode == messages.MODE_RELAY for status in serving.values())


def _where_it_lives(stream: str, serving: dict[str, Any]) -> list[str]:
    name = _name(stream, serving)
    return sorted(_ranked(stream, serving), key=lambda address: _distance(name, serving[address]))


def _ranked(stream: str, serving: dict[str, Any]) -> list[str]:
    name = _name(stream, serving)
    return sorted(serving, key=lambda address: _score(name, address), reverse=True)


def _name(stream: str, serving: dict[str, Any]) -> str:
    return stream or next((status.stream for status in serving.values()), "")


def _distance(stream: str, status: messages.MediaStatus) -> int:
    """Tell how far a stream is from living here: its publisher is, its viewers are, or nobody is."""
    for one in status.relay.streams:
        if one.name == stream:
            return 0 if one.source_peer else 1
    return 2


def _score(stream: str, address: str) -> bytes:
    return hashlib.sha256(f"{stream}\n{address}".encode()).digest()


def _tag(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:TAG_CHARACTERS]
