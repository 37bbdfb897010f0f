"""checkov finds nothing in the rendered chart but what is left out here, each with its reason."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.rendering import CHART, ROOT, Helm, run

PYTHON = Path(sys.executable).parents[1] / "policy-scan" / "bin" / "python"
FEATURES = [CHART / "ci" / f"{name}-values.yaml" for name in ("turn", "tls", "recordings", "documents", "exposed")]

LEFT_OUT = {
    "CKV_K8S_8": "liveness probe: only the pods of `helm test` have none; they end by themselves",
    "CKV_K8S_9": "readiness probe: likewise",
    "CKV_K8S_11": "CPU limit: throttling would make a busy process fail its health checks first",
    "CKV_K8S_15": "pull policy Always: tags are releases; a node restart must not need the registry",
    "CKV_K8S_25": "added capability: coturn's image cannot be executed without NET_BIND_SERVICE, which is allowed",
    "CKV_K8S_35": "secrets as files: the documented variables of the originals are how their keys are given",
    "CKV_K8S_43": "digest: `image.digest` is there; only who builds the images knows it",
}
ONLY_TEST_PODS = {"CKV_K8S_8", "CKV_K8S_9"}
ONLY_COTURN = {"CKV_K8S_25"}

CARELESS = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "careless", "namespace": "ns"},
    "spec": {"hostNetwork": True, "containers": [{"name": "careless", "image": "a:latest"}]},
}


@pytest.fixture(scope="module")
def findings(helm4: Helm, tmp_path_factory):
    """What one scan found in the plain chart, in one with many features, and in a pod that nobody took care of."""
    if not PYTHON.exists():
        pytest.skip("checkov is not on this machine; make test installs it")
    manifests = [*helm4.template().manifests, *helm4.template(files=FEATURES).manifests, CARELESS]
    file = tmp_path_factory.mktemp("chart") / "manifests.yaml"
    file.write_text(yaml.dump_all(manifests, Dumper=yaml.CSafeDumper))
    done = run(PYTHON, ROOT / "deploy" / "policy_scan.py", file, seconds=110)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of(findings, *, careless):
    return [one for one in findings["failed"] if ("careless" in one["object"]) is careless]


def test_the_scan_finds_nothing_else_and_nothing_is_left_out_without_need(findings):
    found = {one["id"]: f"{one['name']}: {one['object']}" for one in of(findings, careless=False)}
    assert {check: text for check, text in found.items() if check not in LEFT_OUT} == {}
    assert found.keys() == LEFT_OUT.keys()
    assert findings["passed"] > 500


def test_what_is_left_out_for_one_pod_is_left_out_for_no_other(findings):
    for one in of(findings, careless=False):
        if one["id"] in ONLY_TEST_PODS:
            assert one["object"].endswith("-test")
        if one["id"] in ONLY_COTURN:
            assert one["object"].startswith("Deployment.ns.pg-pulsegate-media")


def test_the_scan_finds_a_pod_that_nobody_took_care_of(findings):
    found = {one["id"] for one in of(findings, careless=True)}
    assert {"CKV_K8S_14", "CKV_K8S_19", "CKV_K8S_22", "CKV_K8S_23", "CKV_K8S_31", "CKV_K8S_38"} <= found
