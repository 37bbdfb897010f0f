"""The chart as the tests see it: rendered by the true Helm, in both majors."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
COMPONENT = "app.kubernetes.io/component"
APIS = ["cert-manager.io/v1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"]

Manifest = dict[str, Any]


@cache
def program(name: str) -> str:
    """Find a program beside this Python or on the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found:
        return found
    pytest.skip(f"{name} is not on this machine; make test installs it where it can")


def run(*command: object, given: str | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], input=given, capture_output=True, text=True, timeout=seconds, check=False
    )


@dataclass(frozen=True)
class Rendered:
    """The outcome of one `helm template`."""

    manifests: list[Manifest]
    error: str = ""
    notes: str = ""

    def all(self, kind: str) -> list[Manifest]:
        return [one for one in self.manifests if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = [one for one in self.all(kind) if one["metadata"]["name"] == name]
        return found

    def deployment(self, name: str) -> Manifest:
        return next(one for one in self.all("Deployment") if one["metadata"]["labels"][COMPONENT] == name)

    def container(self, name: str) -> Manifest:
        containers = self.deployment(name)["spec"]["template"]["spec"]["containers"]
        return next(one for one in containers if one["name"] == name)

    def variables(self, name: str) -> dict[str, str]:
        return {one["name"]: one["value"] for one in self.container(name)["env"]}


@dataclass
class Helm:
    """One major of Helm, asked at most once for the same thing."""

    program: str
    known: dict[str, Rendered] = field(default_factory=dict)

    def template(self, values: Manifest | None = None, files: Sequence[Path] = (), *, apis: bool = True) -> Rendered:
        key = json.dumps([values, [str(one) for one in files], apis])
        if key not in self.known:
            self.known[key] = self._template(values, files, apis=apis)
        return self.known[key]

    def _template(self, values: Manifest | None, files: Sequence[Path], *, apis: bool) -> Rendered:
        command: list[object] = [self.program, "template", "pg", CHART, "--namespace", "ns"]
        command += [part for one in files for part in ("--values", one)]
        command += [part for one in (APIS if apis else []) for part in ("--api-versions", one)]
        done = run(*command, "--values", "-", given=json.dumps(values or {}))
        if done.returncode:
            return Rendered([], done.stderr)
        return Rendered([one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one])
