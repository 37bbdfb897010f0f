"""Every values file of ci/ gives manifests that Kubernetes takes, whichever Helm renders them."""

import json
import re
from functools import cache
from importlib.resources import files as package_files
from itertools import chain

import jsonschema
import pytest
from referencing import Registry, Resource

from tests.deploy.rendering import CHART, CI_VALUES, ROOT, Helm, Manifest, run

MINORS = range(30, 38)
SERVED_BY_CRDS = {"Certificate", "GRPCRoute", "HTTPRoute", "PrometheusRule", "ServiceMonitor"}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.name)
def test_every_values_file_renders_and_both_helms_agree(helm3: Helm, helm4: Helm, values):
    newest = helm4.template(files=[values])
    assert not newest.error
    assert newest.manifests
    assert helm3.template(files=[values]).manifests == newest.manifests


def test_lint_finds_nothing_in_any_values_file(helm: Helm):
    options = ["--strict", "--quiet", *(part for one in CI_VALUES for part in ("--values", one))]
    for values in [[], ["--values", CHART / "ci" / "turn-values.yaml"], options[2:4]]:
        done = run(helm.program, "lint", CHART, "--strict", "--quiet", *values)
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_older_kubernetes_is_refused(helm: Helm):
    done = run(helm.program, "template", "pg", CHART, "--kube-version", "1.29.9")
    assert done.returncode != 0
    assert "kubeVersion" in done.stderr


@pytest.mark.parametrize("minor", MINORS, ids=lambda minor: f"1.{minor}")
def test_kubernetes_knows_every_field_and_type(helm4: Helm, minor):
    every = chain.from_iterable(helm4.template(files=[values]).manifests for values in CI_VALUES)
    distinct = {json.dumps(one, sort_keys=True): one for one in every if one["kind"] not in SERVED_BY_CRDS}
    assert len(distinct) > 50
    for manifest in distinct.values():
        problems = [f"{error.json_path}: {error.message}" for error in validator(minor, manifest).iter_errors(manifest)]
        assert not problems, f"{manifest['kind']} {manifest['metadata']['name']}: {problems}"


def test_the_validation_is_strict(helm4: Helm):
    service = dict(helm4.template().all("Service")[0], surplus=True)
    assert list(validator(30, service).iter_errors(service))


def validator(minor: int, manifest: Manifest) -> jsonschema.Draft202012Validator:
    group, _, version = manifest["apiVersion"].rpartition("/")
    name = f"{group.partition('.')[0]}-{version}" if group else version
    return _validator(minor, f"{manifest['kind'].lower()}-{name}.json")


@cache
def _validator(minor: int, file: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((_folder(minor) / file).read_text())
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(minor))


@cache
def _definitions(minor: int) -> Registry:
    return Resource.from_contents(json.loads((_folder(minor) / "_definitions.json").read_text())) @ Registry()


@cache
def _folder(minor: int):
    """The schemas that the package kubernetes-validate carries; its own functions read them anew for each manifest."""
    (folder,) = [
        one
        for one in (package_files("kubernetes_validate") / "kubernetes-json-schema").iterdir()
        if one.name.startswith(f"v1.{minor}.") and one.name.endswith("-local-strict")
    ]
    return folder


def test_the_guides_name_only_flags_that_helm_has(helm3: Helm, helm4: Helm):
    pages = [ROOT / "docs" / "operations.md", CHART / "README.md", ROOT / "README.md"]
    text = "\n".join(page.read_text() for page in pages).replace("\\\n", " ")
    commands = re.findall(r"^helm (\w+) (.*)$", text, re.MULTILINE)
    assert {"install", "upgrade", "rollback", "test"} <= {name for name, _ in commands}
    for name, rest in commands:
        helms = [helm4] if "# Helm 4" in rest else [helm3] if "# Helm 3" in rest else [helm3, helm4]
        for helm in helms:
            known = run(helm.program, name, "--help").stdout
            assert all(flag in known for flag in re.findall(r"(--[\w-]+)", rest)), rest
