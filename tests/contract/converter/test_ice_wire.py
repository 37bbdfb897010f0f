"""Recorded conversations of Ice peers of release 3.7 and 3.8, played to our server byte by byte."""

import bz2
import gzip
import json
import socket
import struct
from itertools import groupby
from pathlib import Path

import pytest

pytest.importorskip("Ice", reason="no Ice runtime for this interpreter")

from services.converter.ice import IceServer

RECORDED = Path(__file__).parent / "data" / "ice_wire.jsonl.gz"
RECORDS = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]
CONVERSATIONS = {name: list(turns) for name, turns in groupby(RECORDS, lambda record: record["conversation"])}
UNKNOWN_LOCAL = 5


@pytest.fixture
def connection():
    server = IceServer("127.0.0.1:0")
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection
    server._communicator.destroy()


def receive(connection):
    header = connection.recv(14, socket.MSG_WAITALL)
    size = struct.unpack_from("<i", header, 10)[0]
    return header + (connection.recv(size - 14, socket.MSG_WAITALL) if size > 14 else b"")


def reply(message):
    """Return request id, status and the rest of a reply, whether compressed or not."""
    body = bz2.decompress(message[18:]) if message[9] == 2 else message[14:]
    return struct.unpack_from("<i", body)[0], body[4], body[5:]


def test_a_client_of_release_3_7_gets_the_recorded_bytes(connection):
    for turn in CONVERSATIONS["3.7 client, 3.7 server"]:
        recorded = bytes.fromhex(turn.get("hex") or "")
        if turn["dir"] == "client->server":
            connection.sendall(recorded)
        elif not recorded:
            assert connection.recv(1) == b""
        elif turn["message_type"] != "Reply":
            assert receive(connection) == recorded
        elif reply(recorded)[1] == UNKNOWN_LOCAL:  # its text names the runtime's own release
            assert reply(receive(connection))[:2] == reply(recorded)[:2]
        else:
            assert reply(receive(connection)) == reply(recorded)


def test_a_client_of_release_3_8_gets_the_same_answers(connection):
    assert receive(connection)[8] == 3
    for turn in CONVERSATIONS["3.8 client, 3.8 server"]:
        recorded = bytes.fromhex(turn.get("hex") or "")
        if turn["dir"] == "client->server" and recorded:
            connection.sendall(recorded)
        elif turn["message_type"] == "Reply" if recorded else False:
            told, wanted = reply(receive(connection)), reply(recorded)
            assert told[:2] == wanted[:2]
            assert told[1] != 0 or told[2] == wanted[2]  # exceptions have two legal forms
