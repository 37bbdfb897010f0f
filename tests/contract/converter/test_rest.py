"""Every recorded HTTP request gets its recorded answer, but for the defects, which get the answer wanted instead."""

import base64
import gzip
import json
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "data" / "rest.jsonl.gz"
RECORDS = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]
DISCONNECTED = {"ice_down_at_start", "ice_killed_after_start", "ice_sigkilled"}


def recorded(verdict):
    return pytest.mark.parametrize(
        "record",
        [record for record in RECORDS if record["verdict"] == verdict],
        ids=lambda record: f"{record['state']}-{record['group']}-{record['id']}",
    )


@pytest.fixture
def answer(rest, record):
    rest.connect(connected=record["state"] not in DISCONNECTED)
    request = record["request"]
    body = request["body"]
    raw = base64.b64decode(body["b64"]) if isinstance(body, dict) else body.encode() if body is not None else None
    return rest.send(request["method"], request["path"], request["headers"], raw)


@recorded("match")
def test_a_recorded_request_is_answered_byte_for_byte(record, answer):
    assert answer.status == record["response"]["status"]
    assert answer.headers["content-type"] == record["response"]["headers"]["content-type"]
    assert answer.body.decode() == record["response"]["body"]


@recorded("match_status")
def test_a_recorded_request_gets_the_recorded_status(record, answer):
    expected = record["expect"]
    assert answer.status in expected["status_in"]
    if "content_type" in expected:
        assert answer.headers["content-type"] == expected["content_type"]
    if answer.status == record["response"]["status"] and "allow" in record["response"]["headers"]:
        assert methods(answer.headers["allow"]) == methods(record["response"]["headers"]["allow"])
    if record["request"]["method"] == "HEAD":
        assert answer.body == b""
    elif answer.status >= 400 and record["request"]["path"].startswith("/api/") and answer.status != 400:
        assert isinstance(answer.json()["error"], str)


@recorded("fix")
def test_a_recorded_defect_is_answered_as_wanted(record, answer):
    expected = record["expect"]
    assert answer.status in expected["status_in"]
    assert answer.headers["content-type"] == "application/json"
    if "body" in expected:
        assert answer.body.decode() == expected["body"]
    else:
        assert isinstance(answer.json()["error"], str)
        assert answer.body != record["response"]["body"].encode()


def methods(allow):
    return {method.strip() for method in allow.split(",")}
