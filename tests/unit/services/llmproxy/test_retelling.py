import json

import pytest

from services.llmproxy.answers import Piece
from services.llmproxy.events import collect
from services.llmproxy.messages import AnswerError
from services.llmproxy.retelling import Retelling
from services.llmproxy.sse import Event


def event(name, **fields):
    return Event(name, json.dumps({"type": name, **fields}).encode())


START = event("message_start", message={"id": "chatcmpl-1", "model": "gguf", "usage": {"input_tokens": 1}})
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
HELLO = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"})
MORE = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"})
CLOSE = event("content_block_stop", index=0)
STOP = event("message_stop")


def end(reason="end_turn", sequence=None):
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": sequence}, usage={"output_tokens": 2})


def retold(*events):
    retelling = Retelling("local/tiny", 31)
    return [piece for one in events for piece in retelling.take(one)]


def fields(piece):
    return json.loads(piece.data)


def test_the_order_of_events_is_anthropics():
    assert [piece.event for piece in retold(START, OPEN, HELLO, MORE, CLOSE, end(), STOP)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_the_start_has_our_id_our_model_name_and_the_true_count():
    message = fields(retold(START)[0])["message"]
    assert message["id"].startswith("msg_")
    assert message["model"] == "local/tiny"
    assert message["content"] == []
    assert message["usage"] == {
        "input_tokens": 31,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }


def test_starts_that_the_engine_forgot_are_made():
    pieces = retold(HELLO, CLOSE, end(), STOP)
    assert [piece.event for piece in pieces[:3]] == ["message_start", "content_block_start", "content_block_delta"]
    assert fields(pieces[1]) == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }


def test_an_answer_without_a_word_is_whole():
    assert [piece.event for piece in retold(CLOSE, end(), STOP)] == ["message_start", "message_delta", "message_stop"]


def test_a_stop_sequence_is_the_reason_and_is_named():
    delta = fields(retold(START, end("end_turn", "!"))[1])
    assert delta["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "!"}
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (31, 2)


def test_the_engines_own_error_is_not_repeated_to_the_client():
    with pytest.raises(AnswerError, match="embedded model failed"):
        retold(START, event("error", error={"message": "/home/somebody/model.gguf"}))


def test_a_torn_answer_ends_in_an_error_and_one_that_never_began_in_nothing():
    retelling = Retelling("local/tiny", 1)
    assert retelling.torn(AnswerError(502, "x")) == []
    retelling.take(START)
    assert [piece.event for piece in retelling.torn(AnswerError(502, "x"))] == ["error"]


def test_the_plain_answer_says_what_the_events_say():
    message = json.loads(collect(retold(START, OPEN, HELLO, MORE, CLOSE, end("max_tokens"), STOP)))
    assert message["content"] == [{"type": "text", "text": "Hello"}]
    assert (message["type"], message["role"], message["stop_reason"], message["stop_sequence"]) == (
        "message",
        "assistant",
        "max_tokens",
        None,
    )
    assert message["usage"]["output_tokens"] == 2


def test_a_torn_answer_is_no_plain_answer():
    torn = Piece("error", b'{"type":"error","error":{"type":"api_error","message":"cut"}}')
    with pytest.raises(AnswerError, match="cut"):
        collect([*retold(START), torn])
