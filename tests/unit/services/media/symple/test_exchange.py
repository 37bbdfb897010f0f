"""Every row of the protocol's tables, with clients whose sockets are lists."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.media.symple.exchange import Exchange
from services.media.symple.limits import MOST_ROOMS
from services.media.symple.rooms import Member

SERVER_FACTS = {"name": "Icey Server", "type": "server", "mode": "stream", "capabilities": ["view"]}
SERVER_RECORD = {**SERVER_FACTS, "id": "server", "user": "icey", "online": True}


class Socket:
    """One client as a test speaks for it."""

    def __init__(self, exchange, digest=b""):
        self.frames = []
        self.closed_with = None
        self.now = 0.0
        self._exchange = exchange
        self.client = exchange.open(self, digest, self.now)

    def put(self, frame):
        self.frames.append(json.loads(frame))

    def close(self, code, reason):
        assert self.closed_with is None
        self.closed_with = code

    def write(self, frame):
        self._exchange.receive(self.client, frame, self.now)

    def say(self, **fields):
        self.write(json.dumps(fields).encode())

    def enter(self, user, **fields):
        self.say(type="auth", user=user, **fields)
        self.id = self.frames[0]["peer"]["id"]
        self.address = f"{user}|{self.id}"
        return self

    def taken(self):
        taken, self.frames = self.frames, []
        return taken

    def lose(self):
        self._exchange.lost(self.client)


class Hall:
    def __init__(self):
        self.to_server = []
        self.server = Member("icey", "server", SERVER_FACTS, self.to_server.append)
        self.exchange = Exchange(self.server)

    def socket(self, digest=b""):
        return Socket(self.exchange, digest)

    def enter(self, user, **fields):
        return self.socket().enter(user, **fields)

    def quiet(self, *sockets):
        for one in sockets:
            one.taken()
        self.to_server.clear()


@pytest.fixture
def hall():
    return Hall()


def error(status, text):
    return [{"type": "error", "status": status, "message": text}]


def test_a_client_is_welcomed_and_told_who_is_there_and_the_others_are_told_of_it(hall):
    first = hall.enter("a", name="A")
    assert first.taken() == [
        {
            "type": "welcome",
            "protocol": "symple/4",
            "status": 200,
            "rooms": ["a", "public"],
            "peer": {"id": first.id, "user": "a", "name": "A", "type": "Peer", "online": True},
        },
        {"type": "presence", "from": "icey|server", "data": SERVER_RECORD},
    ]
    second = hall.enter("b", rooms=["more", ""], data={"peerType": "viewer", "id": "x", "token": "t"})
    record = {"id": second.id, "user": "b", "name": "", "type": "Peer", "online": True, "peerType": "viewer"}
    assert first.taken() == [{"type": "presence", "from": second.address, "data": record}]
    welcome, *snapshot = second.taken()
    assert welcome["rooms"] == ["b", "more", "public"]
    assert welcome["peer"] == record
    assert [one["from"] for one in snapshot] == ["icey|server", first.address]
    assert [one.fields["from"] for one in hall.to_server] == [first.address, second.address]


def test_ids_are_long_unlike_and_hold_no_bar(hall):
    ids = {hall.enter(f"u{number}").id for number in range(50)}
    assert len(ids) == 50
    assert all(len(one) >= 16 and "|" not in one for one in ids)


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 401, "Missing user field"),
        ({"user": ""}, 401, "Missing user field"),
        ({"user": 7}, 401, "Missing user field"),
        ({"user": "a"}, 401, "Authentication failed"),
        ({"user": "a", "token": "wrong"}, 401, "Authentication failed"),
        ({"user": "a", "token": ["right"]}, 400, "Malformed auth"),
        ({"user": "a", "token": "right", "rooms": "r"}, 400, "Malformed auth"),
        ({"user": "icey", "token": "right"}, 401, "User name not allowed"),
        ({"user": "a|b", "token": "right"}, 401, "User name not allowed"),
        ({"user": "a" * 257, "token": "right"}, 400, "Peer description too large"),
        ({"user": "a", "token": "right", "data": {"x": "y" * 3000}}, 400, "Peer description too large"),
        ({"user": "a", "token": "right", "rooms": ["r" * 300]}, 400, "Peer description too large"),
        ({"user": "a", "token": "right", "rooms": [f"r{n}" for n in range(65)]}, 400, "Too many rooms"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_may_try_again(hall, fields, status, text):
    socket = hall.socket(hashlib.sha256(b"right").digest())
    socket.say(type="auth", **fields)
    assert socket.taken() == error(status, text)
    assert socket.closed_with is None
    socket.enter("a", token="right", rooms=["r", 5, None])
    assert socket.frames[0]["rooms"] == ["a", "public", "r"]


@pytest.mark.parametrize("kind", ["message", "presence", "join", "close", "", "unheard-of"])
def test_nothing_but_auth_is_heard_before_authentication(hall, kind):
    other, socket = hall.enter("a"), hall.socket()
    hall.quiet(other)
    socket.say(type=kind, room="r", data={})
    assert socket.taken() == error(401, "Not authenticated")
    assert socket.closed_with == 1008
    socket.say(type="auth", user="b")
    assert socket.taken() == other.taken() == hall.to_server == []


def test_who_does_not_authenticate_in_time_is_dismissed_and_who_did_is_not(hall):
    late, known = hall.socket(), hall.enter("a")
    known.taken()
    for one in (late, known):
        hall.exchange.expire(one.client)
    assert (late.taken(), late.closed_with) == (error(408, "Authentication timeout"), 1008)
    assert (known.taken(), known.closed_with) == ([], None)


def test_a_hundred_messages_at_once_are_taken_and_ten_a_second_after_that(hall):
    socket = hall.enter("a")
    for _ in range(99):
        socket.write(b"not json")
    assert socket.closed_with is None
    socket.now = 1.0
    for _ in range(10):
        socket.write(b"not json")
    assert socket.closed_with is None
    socket.taken()
    socket.say(type="join", room="r")
    assert (socket.taken(), socket.closed_with) == (error(429, "Rate limit exceeded"), 1008)


def test_the_bucket_never_holds_more_than_it_did_at_first(hall):
    socket = hall.enter("a")
    socket.now = 1000.0
    for _ in range(101):
        socket.write(b"{}")
    assert socket.closed_with == 1008


@pytest.mark.parametrize("frame", [b"[]", b"7", b'"text"', b"null", b"true"])
def test_json_that_is_no_object_is_told_and_the_socket_goes_on(hall, frame):
    for socket in (hall.socket(), hall.enter("a")):
        socket.taken()
        socket.write(frame)
        assert socket.taken() == error(400, "Not a message")
        assert socket.closed_with is None


def test_what_is_nested_too_deeply_to_be_sent_on_is_told_and_reaches_nobody(hall):
    sender, other = hall.enter("a"), hall.enter("b")
    hall.quiet(sender, other)
    sender.write(b'{"type":"message","data":' + b"[" * 400 + b"]" * 400 + b"}")
    assert (sender.taken(), other.taken(), hall.to_server) == (error(400, "Not a message"), [], [])


@pytest.mark.parametrize("frame", [b"", b"hello", b"{", b'{"type":"message"', b'"\\ud800"', b"\xff", b"NaN"])
def test_what_is_not_json_is_ignored(hall, frame):
    for socket in (hall.socket(), hall.enter("a")):
        socket.taken()
        socket.write(frame)
        assert socket.taken() == []
        assert socket.closed_with is None


def people(hall):
    """a and b share a room with c each, all share the public one but d, who has left it and shares none."""
    found = {
        "a": hall.enter("a", rooms=["ac"]),
        "b": hall.enter("b", rooms=["bc"]),
        "c": hall.enter("c", rooms=["ac", "bc"]),
        "d": hall.enter("d", rooms=["alone"]),
        "a2": hall.enter("a"),
    }
    found["d"].say(type="leave", room="public")
    hall.quiet(*found.values())
    return found


@pytest.mark.parametrize(
    ("to", "receivers"),
    [
        (None, ["a2", "b", "c", "server"]),
        ("{b}", ["b"]),
        ("x|{b.id}", ["b"]),
        ("{b.id}", ["b"]),
        ("b", ["b"]),
        ("a", ["a2"]),
        ("ac", ["c"]),
        ("bc", ["b", "c"]),
        ("public", ["a2", "b", "c", "server"]),
        ("icey", ["server"]),
        ("icey|server", ["server"]),
        ("d", []),
        ("{d}", []),
        ("{d.id}", []),
        ("{a}", []),
        ("alone", []),
        ("nobody", []),
        ("x|nobody", []),
        ("", []),
        (["ac", "bc"], ["c"]),
        (["ac", "public"], ["a2", "b", "c", "server"]),
        (["b", 7, None, ["ac"]], []),
        ([], []),
        (7, []),
        ({}, []),
    ],
)
@pytest.mark.parametrize("kind", ["message", "command", "event"])
def test_a_message_reaches_whom_it_is_addressed_to_and_nobody_else(hall, to, receivers, kind):
    found = people(hall)
    if isinstance(to, str):
        for name, socket in found.items():
            to = to.replace(f"{{{name}}}", socket.address).replace(f"{{{name}.id}}", socket.id)
    fields = {"type": kind, "id": "1", "data": {"x": [1, None]}} | ({} if to is None else {"to": to})
    found["a"].say(**fields, **{"from": "c|spoofed"})
    got = {name: socket.taken() for name, socket in found.items()} | {"server": [m.fields for m in hall.to_server]}
    expected = [fields | {"from": found["a"].address}]
    assert {name: frames for name, frames in got.items() if frames} == dict.fromkeys(receivers, expected)


def test_presence_says_what_the_server_knows_of_the_sender_and_keeps_the_rest(hall):
    sender, other = hall.enter("a", name="A", data={"peerType": "viewer", "colour": "red"}), hall.enter("b")
    hall.quiet(sender, other)
    spoofed = {"id": "x", "user": "b", "name": "B", "type": "server", "online": False, "token": "t", "colour": "blue"}
    sender.say(type="presence", probe=True, data=spoofed)
    assert other.taken() == [
        {
            "type": "presence",
            "probe": True,
            "from": sender.address,
            "data": {
                "id": sender.id,
                "user": "a",
                "name": "A",
                "type": "Peer",
                "online": True,
                "peerType": "viewer",
                "colour": "blue",
            },
        }
    ]
    sender.say(type="presence", data="nonsense")
    assert other.taken()[0]["data"]["id"] == sender.id


def test_rooms_are_joined_and_left_at_run_time_without_telling_the_others(hall):
    one, other = hall.enter("a", rooms=["r"]), hall.enter("b")
    hall.quiet(one, other)
    other.say(type="join", room="r")
    assert other.taken()[0] == {"type": "join:ok", "room": "r"}
    assert one.taken() == []
    other.say(type="join", room="r")
    joined, presence = other.taken()
    assert (joined["type"], presence["from"]) == ("join:ok", one.address)
    one.say(type="message", to="r")
    assert len(other.taken()) == 1
    other.say(type="leave", room="r")
    assert other.taken() == [{"type": "leave:ok", "room": "r"}]
    one.say(type="message", to="r")
    assert other.taken() == one.taken() == []


def test_no_more_rooms_are_joined_than_may_be(hall):
    socket = hall.enter("a")
    socket.taken()
    for number in range(MOST_ROOMS - 2):
        socket.say(type="join", room=f"r{number}")
    assert {one["type"] for one in socket.taken()} == {"join:ok"}
    for room in ("one-more", "r" * 257):
        socket.say(type="join", room=room)
        assert socket.taken() == error(400, "Too many rooms")
    socket.say(type="join", room="r0")
    assert socket.taken() == [{"type": "join:ok", "room": "r0"}]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "auth", "user": "b"},
        {"type": "unheard-of"},
        {"type": 7},
        {},
        {"type": "join", "room": ""},
        {"type": "join", "room": 7},
        {"type": "leave"},
    ],
)
def test_what_means_nothing_is_ignored(hall, fields):
    socket, other = hall.enter("a"), hall.enter("b")
    hall.quiet(socket, other)
    socket.say(**fields)
    assert socket.taken() == other.taken() == hall.to_server == []
    assert socket.closed_with is None


def test_a_client_may_ask_for_the_end(hall):
    socket = hall.enter("a")
    socket.say(type="close")
    assert socket.closed_with == 1000


def test_the_neighbours_are_told_once_when_a_client_is_lost_and_its_rooms_with_it(hall):
    lost, other = hall.enter("a", rooms=["r"]), hall.enter("b", rooms=["r"])
    hall.quiet(lost, other)
    assert len(hall.exchange) == 2
    lost.lose()
    lost.lose()
    (presence,) = other.taken()
    assert presence["from"] == lost.address
    assert (presence["data"]["id"], presence["data"]["online"]) == (lost.id, False)
    assert len(hall.to_server) == 1
    assert len(hall.exchange) == 1
    lost.say(type="message")
    assert other.taken() == []


def test_the_server_speaks_to_one_address_only(hall):
    one, other = hall.enter("a"), hall.enter("a")
    hall.quiet(one, other)
    hall.exchange.say(one.address, {"subtype": "call:accept"})
    assert one.taken() == [{"type": "message", "from": "icey|server", "to": one.address, "subtype": "call:accept"}]
    hall.exchange.say(f"b|{one.id}", {})
    hall.exchange.say("a|nobody", {})
    assert one.taken() == other.taken() == []


def test_everybody_is_told_once_when_the_server_ends(hall):
    known, unknown, left = hall.enter("a"), hall.socket(), hall.enter("c")
    left.say(type="close")
    hall.quiet(known, left)
    hall.exchange.shut_down()
    farewell = {"type": "event", "name": "shutdown", "subtype": "shutdown", "message": "Server shutting down"}
    for one in (known, unknown):
        assert (one.taken(), one.closed_with) == ([farewell], 1001)
    assert left.taken() == []


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(["auth", "message", "presence", "command", "event", "join", "leave", "close", "x"])
odd = json_values | st.sampled_from(["icey|server", "public", "icey", "a", "b"])
fields = st.fixed_dictionaries(
    {"type": kinds},
    optional=dict.fromkeys(("user", "name", "token", "rooms", "data", "to", "room", "id", "from", "subtype"), odd),
)
frames = (
    st.binary(max_size=40)
    | json_values.map(lambda value: json.dumps(value).encode())
    | fields.map(lambda value: json.dumps(value).encode())
)


@given(st.lists(st.tuples(st.integers(0, 2), frames), max_size=30))
def test_no_frame_whatever_breaks_the_exchange_or_forges_a_sender(said):
    hall = Hall()
    sockets = [hall.enter("a"), hall.enter("b"), hall.socket()]
    for number, frame in said:
        sockets[number].write(frame)
    senders = {one.client.member.address for one in sockets if one.client.member} | {"icey|server"}
    for socket in sockets:
        assert all(one["from"] in senders for one in socket.taken() if one["type"] in {"message", "presence"})
        socket.lose()
    assert len(hall.exchange) == 0
    assert hall.exchange._rooms._rooms.keys() == {"icey", "public"}
