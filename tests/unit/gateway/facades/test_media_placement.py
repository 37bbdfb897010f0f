from collections import Counter
from datetime import UTC, datetime

import pytest

from gateway.facades.media.placement import candidates, find, meeting_places, public_id
from gateway.monitor import Replica, Word
from gen.media.v1 import media_pb2 as pb

ADDRESSES = [f"10.0.0.{number}:50052" for number in range(1, 6)]


def replica(address, *, serving=True, active=0, mode=pb.MODE_RELAY, streams=()):
    word = Word("SERVING" if serving else "NOT_SERVING", datetime.now(UTC))
    status = pb.MediaStatus(
        mode=mode, stream="live", sessions=pb.Sessions(active=active), relay=pb.Relay(streams=streams)
    )
    return Replica(address, reachable=True, judged=True, words={"": word}, status=status)


def test_every_gateway_places_a_stream_alike_and_streams_are_spread():
    replicas = [replica(address) for address in ADDRESSES]
    names = [f"stream-{number}" for number in range(500)]
    placed = [candidates(name, replicas)[0] for name in names]
    assert placed == [candidates(name, replicas[::-1])[0] for name in names]
    assert min(Counter(placed)[address] for address in ADDRESSES) > 60


def test_a_replica_that_goes_moves_only_its_own_streams():
    replicas = [replica(address) for address in ADDRESSES]
    for number in range(100):
        first, second, *_ = candidates(f"stream-{number}", replicas)
        left = [one for one in replicas if one.address != first]
        assert candidates(f"stream-{number}", left)[0] == second
        others = [one for one in replicas if one.address != second]
        assert candidates(f"stream-{number}", others)[0] == first


def test_a_stream_that_lives_is_found_where_its_publisher_is_then_where_its_viewers_are():
    published = pb.Relay.Stream(name="news", source_peer="abc")
    watched = pb.Relay.Stream(name="news", viewers=2)
    for place in range(1, 5):
        replicas = [replica(address) for address in ADDRESSES]
        replicas[place] = replica(ADDRESSES[place], streams=[published])
        replicas[0] = replica(ADDRESSES[0], streams=[watched])
        assert candidates("news", replicas)[:2] == [ADDRESSES[place], ADDRESSES[0]]


def test_the_default_stream_is_the_same_by_name_and_without_and_where_clients_meet():
    replicas = [replica(address) for address in ADDRESSES]
    assert candidates("", replicas) == candidates("live", replicas) == meeting_places(replicas)


def test_what_does_not_serve_gets_nothing():
    assert candidates("news", [replica(ADDRESSES[0], serving=False), Replica(ADDRESSES[1])]) == []


@pytest.mark.parametrize("mode", [pb.MODE_STREAM, pb.MODE_RECORD])
def test_where_nobody_has_to_meet_the_replica_with_the_fewest_sessions_comes_first(mode):
    replicas = [
        replica(address, active=active, mode=mode) for address, active in zip(ADDRESSES, (3, 1, 2), strict=False)
    ]
    assert candidates("news", replicas) == [ADDRESSES[1], ADDRESSES[2], ADDRESSES[0]]


def test_a_session_is_found_by_its_public_id_which_does_not_tell_the_address():
    replicas = [replica(address) for address in ADDRESSES]
    public = public_id("a_b-c", ADDRESSES[3])
    assert find(public, replicas) == (ADDRESSES[3], "a_b-c")
    assert "10.0" not in public


@pytest.mark.parametrize("public", ["", "abc", "abc.def", ".", "a" * 3000])
def test_an_id_of_nobody_is_not_found(public):
    assert find(public, [replica(ADDRESSES[0])]) is None
