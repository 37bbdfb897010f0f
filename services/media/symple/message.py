"""One Symple message: a JSON object in a text frame."""

from functools import cached_property
from typing import Any

import orjson

PROTOCOL = "symple/4"

Fields = dict[str, Any]


class NotJson(Exception):
    """The text is not JSON."""


class NotAMessage(Exception):
    """The text is JSON, but not an object that could be sent on."""


class Message:
    """The fields of a message, and the frame they make, written once however many get it."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields

    @cached_property
    def frame(self) -> bytes:
        """The message as text; raises ``NotAMessage`` when it is nested too deeply to be written."""
        try:
            return orjson.dumps(self.fields)
        except TypeError:
            raise NotAMessage from None

    def text(self, name: str) -> str:
        """Tell a field that must be a text; empty when it is missing or something else."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def object(self, name: str) -> Fields:
        """Tell a field that must be an object; empty when it is missing or something else."""
        value = self.fields.get(name)
        return value if isinstance(value, dict) else {}


def decode(frame: bytes) -> Message:
    """Read a frame; raises ``NotJson`` or ``NotAMessage``."""
    try:
        fields = orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise NotJson from None
    if not isinstance(fields, dict):
        raise NotAMessage
    return Message(fields)


def error(status: int, text: str) -> Message:
    """Tell a client what is wrong."""
    return Message({"type": "error", "status": status, "message": text})


def welcome(peer: Fields, rooms: list[str]) -> Message:
    """Tell a client that it is in, and as whom."""
    return Message({"type": "welcome", "protocol": PROTOCOL, "status": 200, "rooms": rooms, "peer": peer})


def presence(address: str, peer: Fields) -> Message:
    """Tell of one peer."""
    return Message({"type": "presence", "from": address, "data": peer})


def shutdown() -> Message:
    """Tell that the server ends."""
    fields = {"type": "event", "name": "shutdown", "subtype": "shutdown", "message": "Server shutting down"}
    return Message(fields)
