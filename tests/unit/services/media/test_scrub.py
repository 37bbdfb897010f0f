import pytest

from services.media import scrub


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("rtsp://user:pass@camera.local/stream1", "rtsp://camera.local/stream1"),
        ("rtsp://camera.local/stream1", "rtsp://camera.local/stream1"),
        ("rtsp://a@b:c@camera/x", "rtsp://camera/x"),
        ("rtsp://user:pass@camera?x=1", "rtsp://camera?x=1"),
        ("http://host/path@not-user", "http://host/path@not-user"),
        ("http://host/x?token=abc&y=2", "http://host/x?token=***&y=2"),
        ("http://host/x?apiKey=abc#end", "http://host/x?apiKey=***#end"),
        ("http://host/x?a=1&Password=p&secret=s&auth=t", "http://host/x?a=1&Password=***&secret=***&auth=***"),
        ("cannot open rtsp://u:p@one/ nor http://v:q@two/", "cannot open rtsp://one/ nor http://two/"),
        ("./demo.mp4", "./demo.mp4"),
    ],
)
def test_no_credential_of_a_url_is_left_in_a_text(text, scrubbed):
    assert scrub.text(text) == scrubbed


@pytest.mark.parametrize(
    ("path", "last"),
    [("/etc/icey/config.json", "config.json"), ("C:\\web\\dist\\", "dist"), ("demo.mp4", "demo.mp4"), ("a/b/", "b")],
)
def test_a_path_is_reduced_to_its_last_component(path, last):
    assert scrub.last_component(path) == last


@pytest.mark.parametrize(
    ("path", "shown"),
    [("./recordings", "./recordings"), ("a/b", "a/b"), ("/var/lib/rec", "rec"), ("D:\\rec", "rec")],
)
def test_the_record_directory_is_shown_as_written_only_when_relative(path, shown):
    assert scrub.record_dir(path) == shown
