from services.llmproxy.invoke import BETAS, request

HI = [{"role": "user", "content": "hi"}]


def test_model_and_stream_are_in_the_address_and_the_version_in_the_body():
    assert request({"model": "m", "stream": True, "messages": HI, "max_tokens": 5}, "") == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 5,
        "messages": HI,
    }
    assert request({"model": "m", "messages": HI}, "")["max_tokens"] == 4096


def test_only_flags_that_bedrock_knows_are_passed_and_in_the_body():
    header = "claude-code-20250219, interleaved-thinking-2025-05-14,prompt-caching-scope-2026-01-05"
    assert request({"messages": HI}, header)["anthropic_beta"] == ["interleaved-thinking-2025-05-14"]
    assert "anthropic_beta" not in request({"messages": HI}, "claude-code-20250219")
    assert all(beta == beta.lower() for beta in BETAS)


def test_a_field_goes_with_its_flag():
    asked = {"messages": HI, "context_management": {"edits": []}}
    assert "context_management" not in request(asked, "")
    assert request(asked, "context-management-2025-06-27")["context_management"] == {"edits": []}


def test_fields_of_anthropics_own_service_are_left_out_and_the_others_kept():
    kept = {"temperature": 0.1, "top_k": 1, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    left = {"service_tier": "auto", "inference_geo": "us", "container": "c", "speed": "fast", "diagnostics": {}}
    body = request({"messages": HI, **kept, **left}, "")
    assert kept.items() <= body.items()
    assert not left.keys() & body.keys()


def test_the_scope_of_a_cache_is_left_out_wherever_it_stands():
    def marked(**more):
        return {**more, "cache_control": {"type": "ephemeral", "scope": "global", "ttl": "1h"}}

    def plain(**more):
        return {**more, "cache_control": {"type": "ephemeral", "ttl": "1h"}}

    text = {"type": "text", "text": "x"}
    messages = [{"role": "user", "content": [marked(**text), text]}]
    body = request({"system": [marked(**text)], "tools": [marked(name="t")], "messages": messages}, "")
    assert body["system"] == [plain(**text)]
    assert body["tools"] == [plain(name="t")]
    assert body["messages"][0]["content"] == [plain(**text), text]


def test_a_system_message_is_folded_and_foreign_thoughts_are_left_out():
    thought = {"type": "thinking", "thinking": "hm", "signature": "gw1:openai:"}
    hidden = {"type": "redacted_thinking", "data": "gw1:bedrock:AA"}
    own = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    messages = [{"role": "system", "content": "s"}, {"role": "assistant", "content": [thought, hidden, own]}]
    assert request({"messages": messages}, "")["messages"] == [
        {"role": "user", "content": "<system>\ns\n</system>"},
        {"role": "assistant", "content": [own]},
    ]
