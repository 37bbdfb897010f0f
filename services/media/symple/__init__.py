"""Symple v4, the protocol by which browsers find the server and call it: rooms, presence and addressed messages."""
