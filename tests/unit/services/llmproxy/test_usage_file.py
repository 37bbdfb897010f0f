import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.llmproxy.usage import Record, Sums, Tokens, Window
from services.llmproxy.usage_file import FILE_NAME, UsageFile, UsageFileError

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
DAY = 86400.0
ALWAYS = Window("0001-01-01", "9999-12-31", {})


def record(**changes):
    told = Record(NOON, "key", "openai", "openai,gpt-x", "gpt-x", "ok", Tokens(10, 5, 3, 2), 2.0, 0.5, 1, 1)
    return replace(told, **changes)


@pytest.fixture
def file(tmp_path):
    file = UsageFile(tmp_path, 31)
    yield file
    file.close()


def test_records_are_there_again_after_a_restart(tmp_path):
    first = UsageFile(tmp_path / "new" / "folder", 31)
    first.write([record(), record(outcome="502", first_byte_seconds=None, estimated=True)])
    first.close()
    second = UsageFile(tmp_path / "new" / "folder", 31)
    assert second.id == first.id
    assert second.latest(10) == [record(outcome="502", first_byte_seconds=None, estimated=True), record()]
    assert second.sums(ALWAYS, (), 10) == [((), Sums(2, 1, 1, 20, 10, 6, 4, 2, 2, 1, 500.0, 4000.0))]
    second.close()


def test_only_its_owner_may_read_the_file(file, tmp_path):
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_sums_are_told_apart_by_any_dimensions_in_their_order(file):
    file.write([record(), record(), record(provider="local", ended_at=NOON - DAY)])
    by = file.sums(ALWAYS, ("day", "provider"), 10)
    assert [(values, sums.requests) for values, sums in by] == [
        (("2026-11-21", "local"), 1),
        (("2026-11-22", "openai"), 2),
    ]
    assert [values for values, _ in file.sums(ALWAYS, ("provider",), 1)] == [("local",)]


def test_a_window_has_both_its_days_and_only_what_it_asks_for(file):
    days = [record(ended_at=NOON + day * DAY) for day in (-2, -1, 0, 1)]
    file.write([*days, record(client="other")])
    window = Window("2026-11-21", "2026-11-22", {})
    assert file.sums(window, (), 10)[0][1].requests == 3
    assert file.sums(replace(window, only={"client": "other"}), (), 10)[0][1].requests == 1
    assert file.sums(replace(window, only={"client": "' OR 1=1 --"}), (), 10) == []


def test_a_client_has_spent_what_it_used_today_and_this_month(file):
    file.write([record(), record(ended_at=NOON - 2 * DAY), record(ended_at=NOON - 30 * DAY), record(client="b")])
    assert file.spent(NOON) == {"key": (20, 40), "b": (20, 20)}


def test_old_records_go_and_their_sums_stay(file):
    file.write([record(ended_at=NOON - 32 * DAY), record(ended_at=NOON - 500 * DAY), record()])
    file.prune(NOON)
    assert [one.ended_at for one in file.latest(10)] == [NOON]
    assert file.sums(ALWAYS, (), 10)[0][1].requests == 2


def test_records_since_a_moment_come_oldest_first(file):
    times = [NOON - 7200, NOON - 60, NOON]
    file.write([record(ended_at=moment) for moment in times])
    assert [one.ended_at for one in file.since(NOON - 3600, 10)] == times[1:]


def test_two_processes_may_share_a_file(file, tmp_path):
    other = UsageFile(tmp_path, 31)
    other.write([record()])
    file.write([record()])
    assert other.sums(ALWAYS, (), 10)[0][1].requests == 2
    assert other.id == file.id
    other.close()


def test_what_cannot_be_written_is_not_written_in_part(file):
    with pytest.raises(UsageFileError, match="NOT NULL"):
        file.write([record(), record(model=None)])
    assert file.latest(10) == []
    file.write([record()])
    assert len(file.latest(10)) == 1


def test_a_file_of_a_newer_release_is_left_alone(tmp_path):
    UsageFile(tmp_path, 31).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UsageFileError, match="newer release"):
        UsageFile(tmp_path, 31)


def test_a_file_that_is_none_says_so(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(UsageFileError, match=r"usage\.sqlite: file is not a database"):
        UsageFile(tmp_path, 31)
    (tmp_path / "file").touch()
    with pytest.raises(UsageFileError, match=r"File exists|Not a directory"):
        UsageFile(tmp_path / "file", 31)


def test_a_file_that_was_removed_is_noticed(file, tmp_path):
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(UsageFileError, match="removed"):
        file.write([record()])


def test_without_a_folder_nothing_is_on_the_disk(tmp_path):
    file = UsageFile(None, 31)
    file.write([record()])
    assert len(file.latest(10)) == 1
    file.close()
