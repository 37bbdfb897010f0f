import subprocess

from services.llmproxy import build


def test_outside_a_repository_nothing_is_invented(tmp_path):
    told = build.read("", tmp_path)
    assert (told.commit, told.date) == ("unknown", None)


def test_the_version_can_be_told(tmp_path):
    assert build.read("9.9", tmp_path).version == "9.9"


def test_in_a_repository_commit_and_date_are_its_own(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run(
        [*git, "commit", "-q", "--allow-empty", "-m", "x", "--date", "2025-01-17T08:00:00Z"],
        check=True,
        env={"GIT_COMMITTER_DATE": "2025-01-17T08:00:00Z", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    told = build.read("", tmp_path)
    assert len(told.commit) >= 7
    assert told.date.isoformat() == "2025-01-17T08:00:00+00:00"


def test_a_package_knows_the_commit_it_was_built_from(tmp_path):
    (tmp_path / "gen").mkdir()
    (tmp_path / "gen/build.json").write_text('{"commit": "abc123def", "date": "2025-01-17T08:00:00+00:00"}')
    told = build.read("1", tmp_path)
    assert (told.commit, told.date.isoformat()) == ("abc123def", "2025-01-17T08:00:00+00:00")


def test_a_broken_repository_is_unknown(tmp_path):
    (tmp_path / ".git").mkdir()
    assert build.read("1", tmp_path).commit == "unknown"
