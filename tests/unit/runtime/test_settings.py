from typing import ClassVar

import pytest
from pydantic import Field

from runtime.settings import Settings, load


class ThingSettings(Settings):
    process: ClassVar[str] = "thing"

    size: int = Field(1, ge=0)
    colour: str = "red"


@pytest.fixture(autouse=True)
def no_inherited_file(monkeypatch):
    monkeypatch.delenv("PULSEGATE_CONFIG", raising=False)


def test_flags_win_over_the_environment_over_the_file_over_defaults(monkeypatch, tmp_path):
    file = tmp_path / "pulsegate.toml"
    file.write_text('[thing]\nsize = 2\ncolour = "blue"\n[other]\nsize = 9\n')
    arguments = ["--config", str(file)]
    assert load(ThingSettings, []).size == 1
    assert (load(ThingSettings, arguments).size, load(ThingSettings, arguments).colour) == (2, "blue")
    monkeypatch.setenv("PULSEGATE_THING_SIZE", "3")
    assert load(ThingSettings, arguments).size == 3
    assert load(ThingSettings, [*arguments, "--size", "4"]).size == 4


def test_a_json_file_works_and_can_be_named_by_a_variable(monkeypatch, tmp_path):
    file = tmp_path / "pulsegate.json"
    file.write_text('{"thing": {"size": 5}}')
    monkeypatch.setenv("PULSEGATE_CONFIG", str(file))
    assert load(ThingSettings, []).size == 5


def test_every_problem_is_reported_together(capsys):
    with pytest.raises(SystemExit) as exit_:
        load(ThingSettings, ["--size", "-1", "--drain-seconds", "soon"])
    assert exit_.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["thing.drain_seconds", "thing.size"]


@pytest.mark.parametrize("text", ["not toml", "thing = 1"])
def test_a_file_that_cannot_be_read_is_one_line_and_code_3(tmp_path, capsys, text):
    file = tmp_path / "pulsegate.toml"
    file.write_text(text)
    with pytest.raises(SystemExit) as exit_:
        load(ThingSettings, ["--config", str(file)])
    assert exit_.value.code == 3
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_missing_file_is_code_3(tmp_path):
    with pytest.raises(SystemExit) as exit_:
        load(ThingSettings, ["--config", str(tmp_path / "none.toml")])
    assert exit_.value.code == 3


def test_unknown_keys_are_warned_about(monkeypatch, tmp_path, capsys):
    file = tmp_path / "pulsegate.toml"
    file.write_text("[thing]\nsise = 2\n")
    monkeypatch.setenv("PULSEGATE_THING_COLOR", "green")
    load(ThingSettings, ["--config", str(file)])
    warned = capsys.readouterr().err
    assert '"setting":"sise"' in warned
    assert '"setting":"PULSEGATE_THING_COLOR"' in warned
