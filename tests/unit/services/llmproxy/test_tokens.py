from services.llmproxy.tokens import estimate


def test_everything_a_model_would_read_counts():
    message = {"role": "user", "content": "x" * 400}
    bare = estimate({"messages": [message]})
    assert bare == 100
    assert estimate({"messages": [message], "system": "y" * 400}) == 200
    assert estimate({"messages": [message], "tools": [{"name": "z" * 400}]}) > 200


def test_a_request_without_anything_is_zero():
    assert estimate({}) == 0
