"""Alerts and dashboard: valid, about metrics that exist, and each alert explained."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "contrib" / "prometheus" / "weave-ryu.rules.yml"
DASHBOARD = ROOT / "contrib" / "grafana" / "weave-ryu.json"
SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.fixture
def promtool():
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed: ovs_scripts/install-deps --tests")

    def run(*arguments):
        result = subprocess.run(
            [path, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr

    return run


def metrics():
    """All that the reference lists; a test of its own compares that with the registry."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(weave_ryu_\w+)`", text, re.MULTILINE))


def alerts():
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def expressions():
    document = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    return found + [entry["expr"] for entry in document["annotations"]["list"]]


def test_rules_are_valid_and_behave_as_described(promtool):
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULES.with_name("weave-ryu.test.yml"))


def test_every_alert_is_tested_for_silence_and_for_alarm():
    tests = yaml.safe_load(RULES.with_name("weave-ryu.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in alerts()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


@pytest.mark.parametrize("text", [rule["expr"] for rule in alerts()] + expressions())
def test_expression_is_about_metrics_that_exist(text):
    for name in re.findall(r"weave_ryu_\w+", text):
        known = metrics()
        stem = next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)
        assert name in known or stem in known, name


def test_expressions_of_the_dashboard_are_valid(promtool, tmp_path):
    rules = [
        {"record": f"dashboard:{number}", "expr": text.replace("$segment", ".*")}
        for number, text in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)


def test_dashboard_is_what_its_script_makes():
    made = runpy.run_path(str(DASHBOARD.with_name("make_dashboard.py")))["dashboard"]()
    assert json.loads(DASHBOARD.read_text()) == made, (
        "python contrib/grafana/make_dashboard.py > contrib/grafana/weave-ryu.json"
    )


def test_panels_do_not_overlap():
    taken = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alert_has_its_section(rule):
    page, anchor = rule["annotations"]["howto"].split("#")
    assert anchor == rule["alert"].lower()
    text = (ROOT / page).read_text()
    section = text.split(f"## {rule['alert']}\n", 1)[1].split("\n## ", 1)[0]
    assert len(section.split()) > 30
