"""Values that cannot work are refused with a reason, and every value is documented."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from deploy import chart_readme
from tests.deploy.rendering import CHART, ROOT, Helm

VALUES = CHART / "values.yaml"

REFUSED_BY_SCHEMA = {
    "an unknown key": ({"replica": 2}, "replica"),
    "an unknown key of a process": ({"gateway": {"replica": 2}}, "replica"),
    "an unknown key of the defaults": ({"defaults": {"grpcPort": 1}}, "grpcPort"),
    "an unknown key deep down": ({"backends": {"media": {"storage": {"claim": {"sizes": "1Gi"}}}}}, "sizes"),
    "a backend's key on the gateway": ({"gateway": {"grpcPort": 50051}}, "grpcPort"),
    "a port beyond 65535": ({"backends": {"converter": {"grpcPort": 65536}}}, "grpcPort"),
    "a port that is a name": ({"backends": {"converter": {"grpcPort": "grpc"}}}, "grpcPort"),
    "a port 0 for a façade": ({"gateway": {"ports": {"media": 0}}}, "media"),
    "an unknown probe mode": ({"defaults": {"probes": {"mode": "grpcs"}}}, "mode"),
    "an unknown log level": ({"gateway": {"logLevel": "trace"}}, "logLevel"),
    "an unknown kind of Service": ({"gateway": {"service": {"type": "ExternalName"}}}, "type"),
    "a digest that is none": ({"defaults": {"image": {"digest": "0123"}}}, "digest"),
    "a health name that is no service": ({"backends": {"converter": {"service": "converter"}}}, "service"),
    "a new backend without a port": ({"backends": {"new": {"service": "new.v1.NewService"}}}, "grpcPort"),
    "a backend called gateway": ({"backends": {"gateway": {"service": "a.v1.A", "grpcPort": 1}}}, "gateway"),
    "a variable that is none": ({"gateway": {"env": {"A-B": "1"}}}, "A-B"),
    "negative seconds": ({"defaults": {"shutdown": {"drainSeconds": -1}}}, "drainSeconds"),
    "a collector without a scheme": ({"tracing": {"endpoint": "collector:4318"}}, "endpoint"),
    "replicas as text": ({"gateway": {"replicas": "2"}}, "replicas"),
}

AUTOSCALED = {"enabled": True, "minReplicas": 1, "maxReplicas": 3}
ONE_POD = {"enabled": True, "accessModes": ["ReadWriteOncePod"]}

REFUSED_BY_TEMPLATE = {
    "a shutdown that does not fit": (
        {"gateway": {"shutdown": {"terminationGracePeriodSeconds": 71}}},
        "gateway.shutdown: preStopSeconds 5 + drainSeconds 2 + graceSeconds 60 + 5 = 72 does not fit",
    ),
    "an exec probe with no time to say why": (
        {"backends": {"converter": {"probes": {"mode": "exec", "liveness": {"timeoutSeconds": 2}}}}},
        "converter.probes.liveness.timeoutSeconds",
    ),
    "an HTTP probe of a backend": ({"backends": {"media": {"probes": {"mode": "http"}}}}, "no HTTP listener"),
    "a gRPC probe of the gateway": ({"gateway": {"probes": {"mode": "grpc"}}}, "no gRPC listener"),
    "a rollout that cannot move": ({"defaults": {"rollout": {"maxSurge": 0, "maxUnavailable": 0}}}, "cannot both be 0"),
    "an autoscaler with its limits swapped": (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}}},
        "minReplicas 3 is more than maxReplicas 2",
    ),
    "an autoscaler with nothing to go by": (
        {"gateway": {"autoscaling": {"enabled": True, "cpu": 0}}},
        "nothing to scale by",
    ),
    "a TURN server without a secret": ({"backends": {"media": {"turn": {"enabled": True}}}}, "ICEY_TURN_SECRET"),
    "TURN servers that cannot reach each other's pods": (
        {"backends": {"media": {"replicas": 2, "secret": {"existing": "turn"}, "turn": {"enabled": True}}}},
        "allowedPeers",
    ),
    "one disk for two pods": (
        {"backends": {"media": {"replicas": 2, "storage": {"claim": {"enabled": True}}}}},
        "ReadWriteOnce serves one pod only",
    ),
    "one disk for pods that an autoscaler may add": (
        {"backends": {"media": {"autoscaling": AUTOSCALED, "storage": {"claim": ONE_POD}}}},
        "ReadWriteOncePod serves one pod only",
    ),
    "a folder that pods cannot share": (
        {"backends": {"llmproxy": {"storage": {"claim": {"enabled": True, "accessModes": ["ReadWriteMany"]}}}}},
        "pods cannot share this folder",
    ),
    "certificates of no issuer": (
        {"tls": {"enabled": True, "certManager": {"enabled": True}}},
        "tls.certManager.issuerRef.name",
    ),
    "a host for a façade that is none": (
        {"ingress": {"enabled": True, "hosts": {"web": "a.example"}}},
        "web is not one of the gateway's ports",
    ),
    "a route to a backend that is none": (
        {"grpcRoute": {"enabled": True, "hostnames": {"web": ["a.example"]}}},
        "web is not an enabled backend",
    ),
}


@pytest.mark.parametrize(("values", "named"), REFUSED_BY_SCHEMA.values(), ids=REFUSED_BY_SCHEMA)
def test_the_schema_refuses(helm: Helm, values, named):
    error = helm.template(values).error
    assert "values don't meet the specifications of the schema" in error
    assert named in error


@pytest.mark.parametrize(("values", "reason"), REFUSED_BY_TEMPLATE.values(), ids=REFUSED_BY_TEMPLATE)
def test_the_templates_refuse(helm4: Helm, values, reason):
    assert reason in helm4.template(values).error


def test_a_shutdown_that_just_fits_is_taken(helm4: Helm):
    seconds = {"preStopSeconds": 5, "drainSeconds": 2, "graceSeconds": 60, "terminationGracePeriodSeconds": 72}
    assert not helm4.template({"gateway": {"shutdown": seconds}}).error


@pytest.mark.parametrize(
    "values",
    [
        {"monitoring": {"serviceMonitor": {"enabled": True}}},
        {"monitoring": {"prometheusRule": {"enabled": True}}},
        {"httpRoute": {"enabled": True}},
        {"tls": {"enabled": True, "certManager": {"enabled": True, "issuerRef": {"name": "own"}}}},
        {"grpcRoute": {"enabled": True}},
    ],
    ids=json.dumps,
)
def test_an_object_the_cluster_does_not_know_is_refused_by_name(helm4: Helm, values):
    assert "the cluster has no" in helm4.template(values, apis=False).error


def test_null_removes_a_key(helm4: Helm):
    limits = helm4.template({"gateway": {"resources": {"limits": None}}}).container("gateway")["resources"]
    assert "limits" not in limits


def test_the_readme_shows_every_value_as_it_is():
    readme = (CHART / "README.md").read_text()
    assert readme == chart_readme.page(readme), "run python -m deploy.chart_readme"


def test_a_value_without_a_comment_is_found():
    with pytest.raises(SystemExit, match=r"no comment above a\.c"):
        list(chart_readme.parameters("# Said.\na:\n  # Said.\n  b: 1\n  c: 2\n"))


def test_every_value_of_the_chart_is_described():
    described = {parameter.path for parameter in chart_readme.parameters(VALUES.read_text())}
    for path in leaves(yaml.safe_load(VALUES.read_text())):
        assert any(path[: len(one)] == one for one in described), ".".join(path)


def test_the_chart_carries_the_version_of_the_product():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (Path(CHART).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project


def test_the_chart_shows_the_icon_of_the_product():
    icon = yaml.safe_load((CHART / "Chart.yaml").read_text())["icon"]
    kind, _, content = icon.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == (ROOT / "gateway" / "pages" / "icon.svg").read_bytes()


def leaves(values, path=()):
    if not isinstance(values, dict) or not values:
        yield path
    else:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
