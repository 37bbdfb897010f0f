"""Whatever a client or a vendor sends: an answer or a refusal, never a crash."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llmproxy import chat, converse, gemini, invoke
from services.llmproxy.completions import CompletionsForm
from services.llmproxy.dialects import DIALECTS, GENERIC
from services.llmproxy.events import collect
from services.llmproxy.messages import AnswerError, parse, refused
from services.llmproxy.tokens import estimate
from services.llmproxy.trimming import fit
from tests.shapes import FIELDS, JSON, KEYS, MESSAGES


@st.composite
def bodies(draw):
    return orjson.dumps({"model": "m", "messages": draw(MESSAGES), **draw(st.dictionaries(FIELDS, JSON, max_size=3))})


def translate(body):
    fields = parse(body, {}).fields
    estimate(fields, "m")
    with refused(400, "malformed"):
        for dialect in (GENERIC, *DIALECTS.values()):
            orjson.dumps(chat.request(fields, "m", dialect))
    with refused(400, "malformed"):
        orjson.dumps(gemini.request(fields, "gemini-3-pro"))
    with refused(400, "malformed"):
        orjson.dumps(converse.request(fields, "amazon.nova-pro-v1:0"))
    with refused(400, "malformed"):
        orjson.dumps(invoke.request(fields, "context-management-2025-06-27"))
    with refused(400, "malformed"):
        fit(fields)


def status_of(attempt):
    """Run an attempt and tell the status a client would see."""
    try:
        attempt()
    except AnswerError as error:
        return error.status
    return 200


@given(bodies())
def test_a_request_is_translated_or_refused(body):
    assert status_of(lambda: translate(body)) in (200, 400)


@given(bodies())
def test_a_request_of_openais_clients_is_translated_or_refused(body):
    assert status_of(lambda: CompletionsForm().parse(body, {})) in (200, 400)


@pytest.mark.parametrize("answer", [chat.Answer, converse.Answer, gemini.Answer])
@given(chunks=st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=4))
def test_a_vendors_answer_is_told_or_said_to_be_broken(answer, chunks):
    reader = answer("p", "m", 1)

    def tell():
        with refused(502, "broken"):
            collect([piece for chunk in chunks for piece in reader.take(chunk)] + reader.finish())

    assert 200 <= status_of(tell) < 600
