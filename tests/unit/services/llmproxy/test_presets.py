import pytest

from services.llmproxy.presets import endpoint


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("https://api.anthropic.com", "messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/", "messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.openai.com/v1/", "chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.groq.com/openai/v1", "chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
        ("https://openrouter.ai/api/v1", "messages", "https://openrouter.ai/api/v1/messages"),
        ("https://x.test/v1/chat/completions", "chat/completions", "https://x.test/v1/chat/completions"),
        ("https://x.test/v1beta", "messages", "https://x.test/v1beta/messages"),
        ("https://api.deepseek.com/anthropic", "messages", "https://api.deepseek.com/anthropic/v1/messages"),
    ],
)
def test_every_way_to_write_a_base_means_the_same(base, path, expected):
    assert endpoint(base, path) == expected
