import json

import pytest

from services.llmproxy.answers import Head, Piece
from services.llmproxy.meter import MOST_KEPT, Meter
from services.llmproxy.usage import MOST_NAME_CHARACTERS, Tokens


def piece(kind, **fields):
    return Piece(kind, json.dumps({"type": kind, **fields}, separators=(",", ":")).encode())


START = piece("message_start", message={"usage": {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 2}})


def said(text):
    return piece("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def test_a_stream_is_counted_by_its_last_word():
    meter = Meter("key")
    meter.begin(Head(200, "m"))
    meter.take([START, said("x" * 400), piece("message_delta", usage={"output_tokens": 50, "input_tokens": 9})])
    record = meter.end(None)
    assert (record.tokens, record.estimated, record.outcome) == (Tokens(9, 50, 2, 0), False, "ok")
    assert record.first_byte_seconds <= record.seconds


def test_who_leaves_early_has_spent_what_was_written_for_him():
    meter = Meter("key")
    meter.begin(Head(200, "m"))
    meter.take([START])
    for _ in range(MOST_KEPT):
        meter.take([said("The quick brown fox"), said(" jumps over the lazy dog.")])
    meter.take([piece("content_block_delta", index=1, delta={"type": "signature_delta", "signature": "x" * 500})])
    meter.outcome = "cancelled"
    record = meter.end(None)
    assert (record.tokens, record.estimated) == (Tokens(7, pytest.approx(64 * 9, rel=0.02), 2, 0), True)


def test_deltas_that_cannot_be_read_are_no_tokens():
    meter = Meter("key")
    meter.begin(Head(200, "m"))
    meter.take([START, *(Piece("content_block_delta", data) for data in (b"{", b"[]", b'{"delta":3}'))])
    assert meter.end(None).tokens == Tokens(7, 1, 2, 0)


def test_a_guess_is_said_to_be_one():
    whole = Meter("key")
    whole.begin(Head(200, "m", {"x-usage-estimated": "true"}))
    whole.take([Piece("", b'{"usage":{"input_tokens":1,"output_tokens":2}}')])
    assert whole.end(None).estimated
    streamed = Meter("key")
    streamed.begin(Head(200, "m"))
    streamed.take([START, Piece("message_delta", b'{"usage":{"output_tokens":2},"usage_estimated":true}')])
    assert streamed.end(None).estimated


def test_a_torn_answer_is_no_good_one():
    meter = Meter("key")
    meter.begin(Head(200, "m"))
    meter.take([START, piece("error", error={})])
    assert meter.end(None).outcome == "torn"


def test_a_request_that_nobody_answered_has_no_first_byte():
    meter = Meter("key")
    meter.asked_model = "m" * 1000
    meter.outcome = "404"
    record = meter.end(None)
    assert (record.first_byte_seconds, record.provider, record.tokens) == (None, "", Tokens())
    assert len(record.asked_model) == MOST_NAME_CHARACTERS


@pytest.mark.parametrize("last", [Piece("", b"{}"), piece("message_stop")])
def test_who_leaves_with_everything_told_has_not_left_early(last):
    meter = Meter("key")
    meter.begin(Head(200, "m"))
    meter.take([START])
    meter.left()
    assert meter.outcome == "cancelled"
    meter.begin(Head(200, "m"))
    meter.take([last])
    meter.left()
    assert meter.outcome == "ok"


def test_a_torn_answer_stays_one_whoever_leaves():
    meter = Meter("key")
    meter.begin(Head(200, "m"))
    meter.take([START, piece("error", error={})])
    meter.left()
    assert meter.outcome == "torn"
