import json
import logging

import pytest

from runtime import logs


def test_a_line_is_one_json_object_with_time_level_module_and_message(capsys):
    logs.configure("info")
    logging.getLogger("things.part").warning("health changed", extra={"serving": False})
    line = json.loads(capsys.readouterr().err)
    assert list(line)[:4] == ["time", "level", "module", "message"]
    assert (line["level"], line["module"], line["message"]) == ("warning", "things.part", "health changed")
    assert line["serving"] is False


def test_the_request_id_is_on_every_line_after_it_was_bound(capsys):
    logs.configure("info")
    logs.request_id.set("abc")
    logging.getLogger("things").info("one")
    logging.getLogger("others").info("two")
    assert [json.loads(line)["request_id"] for line in capsys.readouterr().err.splitlines()] == ["abc", "abc"]


def test_less_severe_lines_are_left_out(capsys):
    logs.configure("warning")
    logging.getLogger("things").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_traceback_is_part_of_the_line(capsys):
    logs.configure("info")
    try:
        raise LookupError("lost")
    except LookupError:
        logging.getLogger("things").exception("unexpected failure")
    line = json.loads(capsys.readouterr().err)
    assert "LookupError: lost" in line["exception"]


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: "one"}, object])
def test_whatever_is_logged_is_one_line_of_json(capsys, value):
    logs.configure("info")
    logging.getLogger("things").info("odd", extra={"value": value})
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "odd"
