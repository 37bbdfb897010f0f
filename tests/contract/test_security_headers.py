"""What every answer carries against misuse in a browser, and what pages carry besides."""

import pytest

from gateway.settings import GatewaySettings

FACADES = ("converter", "media", "llmproxy", "operator")


@pytest.fixture
def client(applications):
    return lambda name: applications[getattr(GatewaySettings(), f"{name}_port")].test_client()


@pytest.mark.parametrize("name", FACADES)
@pytest.mark.parametrize("path", ["/", "/nothing/here", "/api/nothing"])
def test_no_browser_may_guess_a_type(client, name, path):
    with client(name).get(path) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["converter", "media", "operator"])
def test_a_page_loads_nothing_foreign_and_is_not_framed_by_strangers(client, name):
    with client(name).get("/") as answer:
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] in ("'self'", "'none'")
        assert policy["frame-ancestors"] in ("'self'", "'none'")
        assert policy["base-uri"] == "'none'"
        assert "unsafe" not in " ".join(policy.values())
        assert answer.headers["Referrer-Policy"] == "no-referrer"
