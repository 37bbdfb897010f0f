"""The alert rules and the dashboard are right, and name only what the processes export."""

import json
import re
import shutil

import pytest
import yaml

from tests.deploy.rendering import CHART, ROOT, program, run

RULES = CHART / "files" / "alerts.yaml"
ALERTS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPORTED = "\n".join(
    path.read_text() for folder in ("runtime", "gateway", "services") for path in (ROOT / folder).rglob("*.py")
)


def test_promtool_finds_nothing_wrong():
    done = run(program("promtool"), "check", "rules", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_alerts_have_one_name():
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)


def test_every_alert_fires_when_it_should_and_only_then(tmp_path):
    shutil.copy(RULES, tmp_path)
    cases = tmp_path / "cases.yaml"
    shutil.copy(ROOT / "tests" / "deploy" / "alerts_test.yaml", cases)
    done = run(program("promtool"), "test", "rules", cases)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = yaml.safe_load(cases.read_text())["tests"]
    tested = {one["alertname"] for case in tests for one in case["alert_rule_test"]}
    assert tested == {alert["alert"] for alert in ALERTS}


def test_the_chart_carries_the_rules_unchanged(render):
    rendered = render({"monitoring": {"prometheusRule": {"enabled": True}}})
    assert rendered.one("PrometheusRule", "pg-pulsegate")["spec"] == yaml.safe_load(RULES.read_text())


@pytest.mark.parametrize("query", [*(alert["expr"] for alert in ALERTS), *QUERIES])
def test_a_query_names_only_what_is_exported(query):
    for name in re.findall(r"\b(pulsegate_\w+)", query):
        family = re.sub(r"_(total|bucket|count|sum)$", "", name)
        short = family.removeprefix("pulsegate_media_")  # some of media's are named in a table
        assert re.search(rf'"({family}(_total)?|{short})"', EXPORTED), name
    for label in re.findall(r'outcome=~"([^"]+)"', query):
        assert all(word in EXPORTED or word == "5.." for word in label.split("|"))


def test_every_query_of_the_dashboard_parses(tmp_path):
    rules = [
        {"record": f"query:{number}", "expr": re.sub(r"\$__rate_interval", "5m", query)}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = run(program("promtool"), "check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_bound_to_no_one_installation():
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"] == "pulsegate"
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "job", "namespace"]
    for panel in DASHBOARD["panels"]:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_the_operations_guide_explains_every_alert():
    guide = (ROOT / "docs" / "operations.md").read_text()
    for alert in ALERTS:
        assert f"| `{alert['alert']}` |" in guide
