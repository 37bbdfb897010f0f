"""Files of the media server over REST, from a record directory and the media process's own reader of it."""

import asyncio
import os

import grpc
import pytest

from gateway.app import create_app
from gateway.errors import BackendError
from gateway.facades.media import FACADE
from gateway.facades.media.artifacts import WINDOW_BYTES
from gateway.monitor import Picture, Replica
from gateway.settings import GatewaySettings
from services.media.artifacts import Artifacts
from services.media.servicer import MediaServicer, Served

FILM = bytes(range(256)) * 40


class Context:
    async def abort(self, code, details=""):
        raise BackendError(code, details)


class Process:
    """Media processes reached without a wire, one for each folder."""

    def __init__(self, *folders):
        self.servicers = {}
        for folder in folders:
            artifacts = Artifacts({"": folder, "snapshots": folder / "elsewhere"})
            self.servicers[folder.name] = MediaServicer(None, Served(None, None, None, artifacts, None, None))
        self.gone = set()
        self.asked = []

    @property
    def picture(self):
        replicas = [Replica(name, reachable=name not in self.gone) for name in self.servicers]
        return Picture("media", tuple(replicas))

    def call_each(self, name, request, timeout_seconds):
        assert 0 < timeout_seconds < 30
        if self.gone == set(self.servicers):
            raise BackendError(grpc.StatusCode.UNAVAILABLE)
        return {
            address: BackendError(grpc.StatusCode.UNAVAILABLE)
            if address in self.gone
            else asyncio.run(getattr(servicer, name)(request, Context()))
            for address, servicer in self.servicers.items()
        }

    def stream_at(self, address, name, request, timeout_seconds):
        assert 0 < timeout_seconds <= 120
        self.asked.append(request)

        async def collect():
            return [answer async for answer in getattr(self.servicers[address], name)(request, Context())]

        yield from asyncio.run(collect())


@pytest.fixture
def process(tmp_path):
    return Process(tmp_path)


def client(process, **settings):
    told = GatewaySettings(**settings)
    return create_app("media", FACADE.create_blueprint(process, told), FACADE.error_response, 10**6).test_client()


@pytest.fixture
def web(process, tmp_path):
    (tmp_path / "live-1.mp4").write_bytes(FILM)
    return client(process)


def test_a_recording_is_served_whole(web):
    answer = web.get("/artifacts/live-1.mp4")
    assert (answer.status_code, answer.data) == (200, FILM)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(FILM))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''live-1.mp4"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_head_tells_the_same_without_the_file(web, process):
    whole, head = web.get("/artifacts/live-1.mp4"), web.head("/artifacts/live-1.mp4")
    process.asked.clear()
    assert (head.status_code, head.data) == (200, b"")
    assert {**head.headers} == {**whole.headers}
    assert all(request.info_only for request in process.asked)


def test_a_range_is_served(web):
    answer = web.get("/artifacts/live-1.mp4", headers={"Range": "bytes=100-299"})
    assert (answer.status_code, answer.data) == (206, FILM[100:300])
    assert answer.headers["Content-Range"] == f"bytes 100-299/{len(FILM)}"
    assert answer.headers["Content-Length"] == "200"


def test_a_range_beyond_the_end_is_416_with_the_size(web):
    answer = web.get("/artifacts/live-1.mp4", headers={"Range": f"bytes={len(FILM)}-"})
    assert (answer.status_code, answer.data) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{len(FILM)}"


def test_what_a_client_has_already_is_not_sent_again(web):
    first = web.get("/artifacts/live-1.mp4")
    by_tag = web.get("/artifacts/live-1.mp4", headers={"If-None-Match": first.headers["ETag"]})
    by_date = web.get("/artifacts/live-1.mp4", headers={"If-Modified-Since": first.headers["Last-Modified"]})
    assert (by_tag.status_code, by_tag.data, by_tag.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (by_date.status_code, by_date.data) == (304, b"")
    assert web.get("/artifacts/live-1.mp4", headers={"If-None-Match": '"other"'}).status_code == 200
    assert web.get("/artifacts/live-1.mp4", headers={"If-Match": '"other"'}).status_code == 412


def test_the_rest_of_a_file_that_changed_meanwhile_is_not_taken_for_the_rest_of_the_old_one(web, tmp_path):
    first = web.get("/artifacts/live-1.mp4")
    tag = {"Range": "bytes=9000-", "If-Range": first.headers["ETag"]}
    assert web.get("/artifacts/live-1.mp4", headers=tag).status_code == 206
    (tmp_path / "live-1.mp4").write_bytes(FILM[::-1])
    os.utime(tmp_path / "live-1.mp4", ns=(1, 1))
    again = web.get("/artifacts/live-1.mp4", headers=tag)
    assert (again.status_code, again.data) == (200, FILM[::-1])


def test_a_large_file_travels_in_windows(process, tmp_path):
    size = WINDOW_BYTES + 1000
    (tmp_path / "large.mp4").write_bytes(os.urandom(size))
    answer = client(process).get("/artifacts/large.mp4")
    assert answer.data == (tmp_path / "large.mp4").read_bytes()
    assert [(request.offset, request.length) for request in process.asked[1:]] == [
        (0, WINDOW_BYTES),
        (WINDOW_BYTES, 1000),
    ]


def test_a_file_that_becomes_shorter_is_never_passed_off_as_whole(process, tmp_path):
    path = tmp_path / "large.mp4"
    path.write_bytes(bytes(WINDOW_BYTES + 1000))
    answer = client(process).get("/artifacts/large.mp4", buffered=False)
    chunks = answer.iter_encoded()
    next(chunks)
    path.write_bytes(bytes(10))
    with pytest.raises(BackendError) as failure:
        list(chunks)
    assert failure.value.code in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.DATA_LOSS)


def test_an_empty_file_is_served_empty(process, tmp_path):
    (tmp_path / "empty.mp4").touch()
    answer = client(process).get("/artifacts/empty.mp4")
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.mp4.part", "video/mp4"),
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_nothing_gets_a_type_that_a_browser_would_run(process, tmp_path, name, media_type):
    (tmp_path / name).write_bytes(b"<script>")
    assert client(process).get(f"/artifacts/{name}").headers["Content-Type"] == media_type


def test_files_of_another_folder_have_its_word_before_their_name(process, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"png")
    assert client(process).get("/artifacts/snapshots/a.png").data == b"png"


@pytest.fixture
def trap(tmp_path):
    """Lay a record directory beside a secret, with every way out of it that a file system knows."""
    folder = tmp_path / "recordings"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "deep.mp4").write_bytes(b"deep")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.mp4")
    return client(Process(folder))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("below/deep.mp4", 200),
        ("../secret.mp4", 403),
        ("%2e%2e/secret.mp4", 403),
        ("below/../../secret.mp4", 403),
        ("..%2fsecret.mp4", 403),
        ("%2Fetc%2Fpasswd", 404),
        ("..\\secret.mp4", 404),
        ("link.mp4", 404),
        ("out/secret.mp4", 404),
        ("pipe.mp4", 404),
        ("below", 404),
        ("below/", 404),
        ("./below/deep.mp4", 404),
        ("below//deep.mp4", 404),
        ("a%00.mp4", 404),
        ("nothing.mp4", 404),
        ("live.mp4/more", 404),
        ("x" * 300, 404),
    ],
)
def test_no_name_leads_out_of_the_folder(trap, path, status):
    answer = trap.get(f"/artifacts/{path}")
    assert answer.status_code == status
    assert answer.data == (b"deep" if status == 200 else b"")


def test_artifacts_are_for_those_who_know_the_token(process, tmp_path):
    (tmp_path / "live-1.mp4").write_bytes(FILM)
    web = client(process, media_token="right")
    for path in ("/artifacts/live-1.mp4", "/artifacts/nothing.mp4", "/artifacts/../x"):
        refused = web.get(path, headers={"Authorization": "Bearer wrong"})
        assert (refused.status_code, refused.data) == (401, b"")
    assert web.get("/api/artifacts").get_json() == {"status": "error", "error": "unauthorized"}
    assert web.get("/artifacts/live-1.mp4?token=right").data == FILM
    assert web.get("/artifacts/live-1.mp4", headers={"X-Icey-Token": "right"}).status_code == 200
    assert web.get("/api/artifacts", headers={"Authorization": "Bearer right"}).status_code == 200


def test_only_reading_is_possible(web):
    refused = web.delete("/artifacts/live-1.mp4")
    assert (refused.status_code, refused.data) == (405, b"")
    assert set(refused.headers["Allow"].split(", ")) >= {"GET", "HEAD"}
    listed = web.post("/api/artifacts")
    assert (listed.status_code, listed.get_json()["error"]) == (405, "method_not_allowed")


def test_recordings_snapshots_and_clips_are_listed_newest_first(web, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for age, name in enumerate(["ö 1.mp4.part", "elsewhere/a.png", "notes.txt", ".hidden", "live-1.mp4"]):
        path = tmp_path / name
        path.write_bytes(path.read_bytes() if path.exists() else b"12345")
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    listed = web.get("/api/artifacts").get_json()
    assert listed["status"] == "ok"
    assert [one["name"] for one in listed["artifacts"]] == ["ö 1.mp4.part", "snapshots/a.png", "live-1.mp4"]
    assert listed["artifacts"][0] == {
        "name": "ö 1.mp4.part",
        "url": "/artifacts/%C3%B6%201.mp4.part",
        "sizeBytes": 5,
        "modifiedAt": "2023-11-14T22:13:20Z",
        "active": True,
    }
    assert [one["active"] for one in listed["artifacts"]] == [True, False, False]
    assert web.get(listed["artifacts"][0]["url"]).data == b"12345"


def test_a_folder_that_is_gone_lists_nothing(tmp_path):
    web = client(Process(tmp_path / "gone"))
    assert web.get("/api/artifacts").get_json() == {"status": "ok", "artifacts": []}
    assert web.get("/artifacts/a.mp4").status_code == 404


def test_without_a_media_process_there_are_no_artifacts(process, tmp_path):
    process.gone = {tmp_path.name}
    web = client(process)
    missing = web.get("/artifacts/live-1.mp4")
    assert (missing.status_code, missing.data) == (503, b"")
    assert web.get("/api/artifacts").get_json() == {"status": "error", "error": "unavailable"}


@pytest.fixture
def two(tmp_path):
    """Two replicas, each with a disk of its own."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.mp4").write_bytes(name.encode())
        (tmp_path / name / "shared.mp4").write_bytes(b"shared")
    return Process(tmp_path / "one", tmp_path / "two")


def test_what_any_replica_has_is_listed_once_and_served(two):
    web = client(two)
    listed = web.get("/api/artifacts").get_json()["artifacts"]
    assert sorted(one["name"] for one in listed) == ["one.mp4", "shared.mp4", "two.mp4"]
    for name, data in (("one", b"one"), ("two", b"two"), ("shared", b"shared")):
        assert web.get(f"/artifacts/{name}.mp4").data == data
    assert web.get("/artifacts/three.mp4").status_code == 404
    assert web.get("/artifacts/../x").status_code == 403


def test_a_replica_that_is_gone_takes_only_its_own_files_along(two):
    two.gone = {"one"}
    web = client(two)
    assert sorted(one["name"] for one in web.get("/api/artifacts").get_json()["artifacts"]) == ["shared.mp4", "two.mp4"]
    assert web.get("/artifacts/two.mp4").data == b"two"
    assert web.get("/artifacts/one.mp4").status_code == 404
