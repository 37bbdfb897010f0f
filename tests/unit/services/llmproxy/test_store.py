import json

import pytest

from services.llmproxy.store import Store, StoreError, read_dotenv


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


def test_a_named_file_that_does_not_exist_is_an_error(path):
    with pytest.raises(StoreError, match="does not exist"):
        Store(path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_file_that_is_no_json_object_is_an_error_that_names_it(path, text):
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=r"config\.json"):
        Store(path).load()


def test_a_saved_document_is_whole_and_for_its_owner_only(path):
    path.write_text("{}")
    path.chmod(0o644)
    store = Store(path)
    store.save({"providers": [{"name": "ü"}]})
    assert store.load() == {"providers": [{"name": "ü"}]}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["config.json"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("{}")
    store = Store(tmp_path / "file")
    store.path = tmp_path / "file" / "config.json"
    with pytest.raises(StoreError, match="cannot be written"):
        store.save({})


async def test_a_change_by_somebody_else_is_noticed_and_our_own_is_not(path, until):
    path.write_text("{}")
    store = Store(path)
    store.save({"a": 1})
    assert store._mark() == store._seen
    path.write_text(json.dumps({"b": 2}))
    await store.changed()
    assert store.load() == {"b": 2}


def test_the_first_documented_place_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Store().path == tmp_path / "home/.ccproxy/config.json"
    (tmp_path / "config.json").write_text("{}")
    assert Store().path.name == "config.json"
    assert Store().path.parent.resolve() in (tmp_path, tmp_path.resolve())


def test_a_dotenv_file_lies_under_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("# note\nA=1\nexport B='two words'\nC=\"3\"\nD=4 # four\nbroken\nE=file\n")
    assert read_dotenv({"E": "environment"}) == {
        "A": "1",
        "B": "two words",
        "C": "3",
        "D": "4",
        "E": "environment",
    }
