"""The official Anthropic SDK, with no provider configured, against the real processes and the embedded model."""

import anthropic
import pytest

MODEL = "claude-opus-4-8"  # what a client that knows nothing of us would ask for
QUESTION = [{"role": "user", "content": "Say hello in one short sentence."}]


@pytest.fixture
def sdk(system):
    with anthropic.Anthropic(api_key="none", base_url=system.url("llmproxy"), max_retries=0, timeout=90) as client:
        yield client


def test_the_sdk_gets_a_whole_answer(sdk):
    message = sdk.messages.create(model=MODEL, max_tokens=24, messages=QUESTION)
    assert (message.type, message.role) == ("message", "assistant")
    assert message.content[0].text.strip()
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert message.usage.input_tokens > 5
    assert 0 < message.usage.output_tokens <= 24
    assert message.model.startswith("local/")


def test_the_sdk_gets_a_streamed_answer_piece_by_piece(sdk):
    with sdk.messages.stream(model=MODEL, max_tokens=24, messages=QUESTION) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(pieces) == message.content[0].text
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert message.usage.output_tokens > 0


def test_a_bad_request_is_the_sdks_own_error(sdk):
    with pytest.raises(anthropic.BadRequestError):
        sdk.messages.create(model=MODEL, max_tokens=24, messages=[])
