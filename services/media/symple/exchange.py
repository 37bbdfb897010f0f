"""The exchange between clients: each frame of a client becomes frames for others, by the rules of Symple v4."""

import hashlib
import hmac
import secrets
from typing import Protocol

from services.media.symple import message as messages
from services.media.symple.limits import LARGEST_DATA_BYTES, LONGEST_NAME, MOST_ROOMS, Bucket
from services.media.symple.message import Fields, Message, NotAMessage, NotJson
from services.media.symple.rooms import PUBLIC, Member, Rooms

NORMAL, GOING_AWAY, POLICY = 1000, 1001, 1008
"""WebSocket close codes, RFC 6455, section 7.4.1."""

_ROUTED = frozenset({"message", "presence", "command", "event"})
_OURS = frozenset({"id", "user", "name", "type", "online", "token"})  # a client does not decide these


class Outbox(Protocol):
    """The way to one client; neither call waits."""

    def put(self, frame: bytes) -> None:
        """Send a frame."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the socket once what was put is sent."""
        ...


class Client:
    """One socket; it has no member until it has authenticated."""

    def __init__(self, outbox: Outbox, token_digest: bytes, now: float) -> None:
        self.outbox = outbox
        self.member: Member | None = None
        self.closed = False
        self.token_digest = token_digest
        self.bucket = Bucket(now)

    def tell(self, message: Message) -> None:
        """Send a message."""
        self.outbox.put(message.frame)

    def dismiss(self, status: int, text: str, code: int = POLICY) -> None:
        """Say what is wrong and close."""
        self.tell(messages.error(status, text))
        self.close(code, text)

    def close(self, code: int, reason: str) -> None:
        """Close the socket; nothing of it counts any more."""
        self.closed = True
        self.outbox.close(code, reason)


class Exchange:
    """Everybody who is connected, the server's own peer included.

    ``server`` gets every message that is addressed to it or broadcast in its rooms.
    """

    def __init__(self, server: Member) -> None:
        self._server = server
        self._rooms = Rooms()
        self._rooms.enter(server, (server.user, PUBLIC))
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        """Count the clients that have a name."""
        return len(self._rooms) - 1

    def open(self, outbox: Outbox, token_digest: bytes, now: float) -> Client:
        """Take a new socket; ``token_digest`` is the SHA-256 of the token it must name, empty when it needs none."""
        client = Client(outbox, token_digest, now)
        self._clients.add(client)
        return client

    def receive(self, client: Client, frame: bytes, now: float) -> None:
        """Do what a client says."""
        if client.closed:
            return
        if not client.bucket.take(now):
            client.dismiss(429, "Rate limit exceeded")
            return
        try:
            message = messages.decode(frame)
            if client.member is None:
                self._before_authentication(client, message)
            else:
                self._after_authentication(client, client.member, message)
        except NotJson:
            pass
        except NotAMessage:
            client.tell(messages.error(400, "Not a message"))

    def expire(self, client: Client) -> None:
        """Dismiss a client that has not authenticated in time."""
        if client.member is None and not client.closed:
            client.dismiss(408, "Authentication timeout")

    def lost(self, client: Client) -> None:
        """Forget a client whose socket is gone, and tell its neighbours."""
        client.closed = True
        self._clients.discard(client)
        if client.member is not None:
            member, client.member = client.member, None
            farewell = messages.presence(member.address, member.record(online=False))
            neighbours = self._rooms.neighbours(member)
            self._rooms.part(member)
            for one in neighbours:
                one.deliver(farewell)

    def say(self, address: str, fields: Fields) -> None:
        """Send a message of the server's own to one client, wherever it is now."""
        member = self._rooms.find(address.rpartition("|")[2])
        if member is not None and member.address == address:
            member.deliver(Message({"type": "message", "from": self._server.address, "to": address, **fields}))

    def shut_down(self) -> None:
        """Tell everybody that the server ends, and close."""
        farewell = messages.shutdown()
        for client in self._clients:
            if not client.closed:
                client.tell(farewell)
                client.close(GOING_AWAY, "shutdown")

    def _before_authentication(self, client: Client, message: Message) -> None:
        if message.text("type") != "auth":
            client.dismiss(401, "Not authenticated")
            return
        user = message.text("user")
        if refusal := self._refusal(client, user, message):
            client.tell(messages.error(*refusal))
            return
        facts = {name: value for name, value in message.object("data").items() if name not in _OURS}
        facts |= {"name": message.text("name"), "type": "Peer"}
        member = Member(user, secrets.token_urlsafe(12), facts, client.tell)
        rooms = {user, PUBLIC, *_room_names(message.fields.get("rooms"))}
        neighbours = self._enter(client, member, rooms)
        arrival = messages.presence(member.address, member.record())
        for one in neighbours:
            one.deliver(arrival)

    def _enter(self, client: Client, member: Member, rooms: set[str]) -> list[Member]:
        client.member = member
        self._rooms.enter(member, rooms)
        client.tell(messages.welcome(member.record(), sorted(rooms)))
        neighbours = self._rooms.neighbours(member)
        for one in neighbours:
            client.tell(messages.presence(one.address, one.record()))
        return neighbours

    def _refusal(self, client: Client, user: str, message: Message) -> tuple[int, str] | None:
        """Tell why somebody is not let in; the socket stays open for another try."""
        token, rooms = message.fields.get("token") or "", message.fields.get("rooms") or []
        if not isinstance(token, str) or not isinstance(rooms, list):
            return 400, "Malformed auth"
        named = _room_names(rooms)
        described = Message({"name": message.text("name"), "data": message.object("data")})
        longest = max(len(name) for name in (user, *named))
        faults = (
            (not user, 401, "Missing user field"),
            (not _opens(client, token), 401, "Authentication failed"),
            (user == self._server.user or "|" in user, 401, "User name not allowed"),
            (longest > LONGEST_NAME or len(described.frame) > LARGEST_DATA_BYTES, 400, "Peer description too large"),
            (len(named) > MOST_ROOMS, 400, "Too many rooms"),
        )
        return next(((status, text) for wrong, status, text in faults if wrong), None)

    def _after_authentication(self, client: Client, member: Member, message: Message) -> None:
        kind = message.text("type")
        if kind in _ROUTED:
            self._route(member, message, kind)
        elif kind == "join" and (room := message.text("room")):
            self._join(client, member, room)
        elif kind == "leave" and (room := message.text("room")):
            self._rooms.leave(member, room)
            client.tell(Message({"type": "leave:ok", "room": room}))
        elif kind == "close":
            client.close(NORMAL, "")

    def _join(self, client: Client, member: Member, room: str) -> None:
        if len(room) > LONGEST_NAME or (room not in member.rooms and len(member.rooms) >= MOST_ROOMS):
            client.tell(messages.error(400, "Too many rooms"))
            return
        self._rooms.join(member, room)
        client.tell(Message({"type": "join:ok", "room": room}))
        for one in self._rooms.others(member, room):
            client.tell(messages.presence(one.address, one.record()))

    def _route(self, sender: Member, message: Message, kind: str) -> None:
        message.fields["from"] = sender.address
        if kind == "presence":
            told = {name: value for name, value in message.object("data").items() if name not in _OURS}
            message.fields["data"] = {**sender.record(), **told}
        receivers = self._rooms.addressed(sender, message.fields.get("to"))
        if receivers:
            _ = message.frame  # one that cannot be written is refused before anybody gets it
        for one in receivers:
            one.deliver(message)


def _opens(client: Client, token: str) -> bool:
    offered = hashlib.sha256(token.encode()).digest()
    return not client.token_digest or hmac.compare_digest(offered, client.token_digest)


def _room_names(rooms: object) -> list[str]:
    return [room for room in rooms if isinstance(room, str) and room] if isinstance(rooms, list) else []
