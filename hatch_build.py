"""Generate the Python side of the contracts whenever the distribution is built."""

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


def generate(root: Path) -> None:
    """Write `gen/` anew from `protos/`; the imports read `from gen.converter.v1 import converter_pb2`."""
    from grpc_tools import protoc

    contracts = sorted((root / "protos").rglob("*.proto"))
    staging = root / "build" / "gen"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    # In pip's build environment scripts are on the path only, in a virtual environment beside its Python only.
    typing_plugin = shutil.which("protoc-gen-mypy_grpc", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    arguments = [
        "protoc",
        f"-Igen={root / 'protos'}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--python_out={staging}",
        f"--grpc_python_out={staging}",
        f"--pyi_out={staging}",
    ]
    if typing_plugin:
        arguments += [f"--plugin=protoc-gen-mypy_grpc={typing_plugin}", f"--mypy_grpc_out=quiet:{staging}"]
    arguments += [f"gen/{contract.relative_to(root / 'protos')}" for contract in contracts]
    if protoc.main(arguments) != 0:
        raise SystemExit("the contracts in protos/ do not compile")
    for slice_file in (root / "protos").rglob("*.ice"):
        shutil.copy(slice_file, staging / "gen" / slice_file.relative_to(root / "protos"))
    for folder in [staging / "gen", *(path for path in (staging / "gen").rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text('"""Generated from protos/; never edited."""\n')
    (staging / "gen" / "py.typed").touch()
    shutil.rmtree(root / "gen", ignore_errors=True)
    shutil.move(staging / "gen", root / "gen")


def record_commit(root: Path) -> None:
    """Write down which commit is packaged, where that can be known; a working copy asks its repository instead."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return
    told = subprocess.run(  # noqa: S603  fixed words, our own folder
        [git, "-C", str(root), "log", "-1", '--format={"commit": "%h", "date": "%cI"}'],
        capture_output=True,
        check=False,
    )
    if told.returncode == 0:
        (root / "gen" / "build.json").write_bytes(told.stdout)


class ContractsBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves its configuration untyped
    """Make `pip install .` need nothing but itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before files are collected."""
        generate(Path(self.root))
        record_commit(Path(self.root))


if __name__ == "__main__":
    generate(ROOT)
    print("generated gen/ from protos/")
