"""AWS's published test vectors, and botocore, which everybody trusts, as a peer."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from hypothesis import given
from hypothesis import strategies as st

from services.llmproxy.sigv4 import Credentials, Signer

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HOST = {"host": "example.amazonaws.com"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signature"),
    [
        ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("POST", "/", FORM, b"Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        ("GET", "/ሴ", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ],
    ids=["get-vanilla", "post-vanilla", "post-x-www-form-urlencoded", "get-utf8"],
)
def test_the_published_vectors_come_out(method, path, headers, body, signature):
    signed = Signer(KEYS, "us-east-1", "service").sign(method, path, HOST | headers, body, MOMENT)
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert signed["x-amz-date"] == "20150830T123600Z"


PARTS = st.text("abcXYZ019-_.~ %:/ü", min_size=1, max_size=12)


@given(
    model=PARTS.filter(lambda text: text.strip(".")),
    body=st.binary(max_size=50),
    token=st.sampled_from(["", "a+token/with=signs"]),
    spaces=PARTS,
)
def test_botocore_signs_the_same(model, body, token, spaces):
    path = f"/model/{model.replace('/', '%2F').replace(' ', '%20').replace('ü', '%C3%BC')}/converse-stream"
    headers = {"host": "bedrock-runtime.eu-west-1.amazonaws.com", "x-spaces": f"a  {spaces.strip()}"}
    keys = Credentials("AKIDEXAMPLE", "secret", token)
    ours = Signer(keys, "eu-west-1", "bedrock").sign("POST", path, headers, body, datetime.now(UTC))
    request = AWSRequest("POST", f"https://{headers['host']}{path}", headers=headers, data=body)
    request.context["timestamp"] = ours["x-amz-date"]
    signer = SigV4Auth(TheirCredentials("AKIDEXAMPLE", "secret", token or None), "bedrock", "eu-west-1")
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["authorization"].endswith(f"Signature={signature}")


def test_neither_secret_nor_token_shows_in_a_representation():
    assert "wJalr" not in repr(KEYS)
    assert "token" not in repr(Credentials("A", "s", "tokentoken")).replace("session_token", "")
