import grpc

from gateway.errors import HTTP_STATUS, BackendError


def test_every_grpc_status_code_has_an_http_status():
    assert set(HTTP_STATUS) == set(grpc.StatusCode)


def test_only_ok_is_a_success():
    assert [code for code, status in HTTP_STATUS.items() if status < 400] == [grpc.StatusCode.OK]


def test_a_backend_error_knows_its_http_status():
    error = BackendError(grpc.StatusCode.UNAVAILABLE, "gone")
    assert (error.status, str(error)) == (503, "UNAVAILABLE: gone")
