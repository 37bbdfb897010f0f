"""Who is in which room, and whom an address means."""

from collections.abc import Callable, Iterable
from typing import Any

from services.media.symple.message import Fields, Message

PUBLIC = "public"
SERVER_USER = "icey"


class Member:
    """Somebody who has a name: the peer behind a socket, or the server itself."""

    def __init__(self, user: str, peer_id: str, facts: Fields, deliver: Callable[[Message], None]) -> None:
        self.user = user
        self.id = peer_id
        self.address = f"{user}|{peer_id}"
        self.rooms: set[str] = set()
        self.deliver = deliver
        self._facts = facts

    def record(self, *, online: bool = True) -> Fields:
        """Tell what others are told of this member."""
        return {**self._facts, "id": self.id, "user": self.user, "online": online}


class Rooms:
    """Every member and every room; a room is there while somebody is in it."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._rooms: dict[str, dict[str, Member]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def enter(self, member: Member, rooms: Iterable[str]) -> None:
        """Let a new member into rooms."""
        self._members[member.id] = member
        for room in rooms:
            self.join(member, room)

    def join(self, member: Member, room: str) -> None:
        """Let a member into a room."""
        member.rooms.add(room)
        self._rooms.setdefault(room, {})[member.id] = member

    def leave(self, member: Member, room: str) -> None:
        """Take a member out of a room."""
        if room in member.rooms:
            member.rooms.remove(room)
            del self._rooms[room][member.id]
            if not self._rooms[room]:
                del self._rooms[room]

    def part(self, member: Member) -> None:
        """Take a member out of everything."""
        for room in tuple(member.rooms):
            self.leave(member, room)
        self._members.pop(member.id, None)

    def find(self, peer_id: str) -> Member | None:
        """Tell the member with an id."""
        return self._members.get(peer_id)

    def neighbours(self, member: Member) -> list[Member]:
        """List who shares a room with a member, once each, without itself."""
        return _without(member, self._together(member.rooms))

    def others(self, member: Member, room: str) -> list[Member]:
        """List who else is in a room."""
        return _without(member, self._rooms.get(room, {}))

    def addressed(self, sender: Member, to: Any) -> list[Member]:  # noqa: ANN401  whatever a client wrote
        """List whom a message of a member is for.

        Nobody is reached without sharing a room with the sender. No address means every neighbour, ``user|id`` one
        of them, a list the members of those rooms the sender is in, any other text a room, or if there is no such
        room an id.
        """
        if to is None:
            return self.neighbours(sender)
        if isinstance(to, list):
            return _without(sender, self._together(sender.rooms.intersection(_texts(to))))
        if not isinstance(to, str):
            return []
        if "|" not in to and to in self._rooms:
            return [one for one in self.others(sender, to) if _together(one, sender)]
        found = self.find(to.rpartition("|")[2])
        return [found] if found is not None and found is not sender and _together(found, sender) else []

    def _together(self, rooms: Iterable[str]) -> dict[str, Member]:
        found: dict[str, Member] = {}
        for room in rooms:
            found.update(self._rooms[room])
        return found


def _together(one: Member, other: Member) -> bool:
    return not one.rooms.isdisjoint(other.rooms)


def _without(member: Member, found: dict[str, Member]) -> list[Member]:
    return [one for key, one in found.items() if key != member.id]


def _texts(values: list[Any]) -> set[str]:
    return {value for value in values if isinstance(value, str)}
