import grpc
from flask import Blueprint, jsonify
from werkzeug.exceptions import HTTPException

from gateway.app import create_app
from gateway.errors import BackendError


def client():
    thing = Blueprint("thing", __name__)

    @thing.get("/backend")
    def backend():
        raise BackendError(grpc.StatusCode.UNAVAILABLE, "internal words")

    @thing.get("/bug")
    def bug():
        raise KeyError("internal words")

    def error_response(status, error):
        known = isinstance(error, BackendError | HTTPException)
        response = jsonify(own_envelope=True, known=known)
        response.status_code = status
        return response

    return create_app("thing", thing, error_response, 1000).test_client()


def test_a_backend_error_has_its_http_status_and_the_facades_envelope():
    answer = client().get("/backend")
    assert (answer.status_code, answer.json) == (503, {"own_envelope": True, "known": True})


def test_a_bug_is_a_500_in_the_facades_envelope():
    answer = client().get("/bug")
    assert (answer.status_code, answer.json) == (500, {"own_envelope": True, "known": False})


def test_404_and_405_have_the_facades_envelope_and_405_an_allow_header():
    assert (client().get("/none").status_code, client().get("/none").json["own_envelope"]) == (404, True)
    answer = client().post("/bug")
    assert (answer.status_code, answer.json["own_envelope"]) == (405, True)
    assert "GET" in answer.headers["Allow"]


def test_no_path_is_ever_redirected():
    assert client().get("//bug").status_code == 404
    assert client().get("/bug/").status_code == 404
