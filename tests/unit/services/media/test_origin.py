import pytest

from services.media.origin import Origin


@pytest.mark.parametrize(
    ("value", "live"),
    [
        ("rtsp://camera/1", True),
        ("rtmps://host/x", True),
        ("srt://host:1", True),
        ("udp:1234", True),
        ("v4l2:/dev/video0", True),
        ("/dev/video0", True),
        ("testsrc", False),
        ("https://host/a.mp4", False),
        ("a.mp4", False),
        ("", False),
    ],
)
def test_what_runs_by_its_own_clock_is_told_apart(value, live):
    assert Origin(value).live == live


@pytest.mark.parametrize(
    ("value", "kind", "remote", "shown"),
    [
        ("", "none", False, ""),
        ("testsrc", "device", False, "testsrc"),
        ("rtsp://u:p@camera.local/stream1", "rtsp", True, "rtsp://camera.local/stream1"),
        ("https://u:p@host/a.mp4?key=1", "url", True, "https://host/a.mp4?key=***"),
        ("v4l2:/dev/video0", "device", False, "v4l2:/dev/video0"),
        ("v4l2://host/x", "url", True, "v4l2://host/x"),
        ("/dev/video0", "device", False, "/dev/video0"),
        ("/home/me/films/demo.mp4", "file", False, "demo.mp4"),
        ("./testsrc", "file", False, "testsrc"),
        ("udp:1234", "file", True, "udp:1234"),
    ],
)
def test_kind_and_reach_follow_the_documented_rules(value, kind, remote, shown):
    origin = Origin(value)
    assert (origin.kind, origin.remote, origin.shown) == (kind, remote, shown)
