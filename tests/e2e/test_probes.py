"""What probes ask, with the programs and scripts that ask it."""

import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "seed_scripts"
OUTPUT = {
    "basic_status.sh": r"✅ CCProxy is running",
    "provider_information.sh": r"Active providers: local",
    "version_check.sh": r"CCProxy version: \d+\.\d+\.\d+\S*",
    "uptime_monitoring.sh": r"CCProxy uptime: \d+h \d+m \d+s",
    "configuration_validation.sh": r"WARNING: API key not configured",
}


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:5000/api/status",
        "http://localhost:4500/api/health",
        "http://localhost:4500/api/ready",
        "http://localhost:3456/status",
        "http://localhost:3456/health",
        "http://localhost:8080/healthz",
        "http://localhost:8080/readyz",
    ],
)
def test_curl_finds_every_documented_probe_healthy(documented_curl, url):
    done = subprocess.run(
        ["curl", "-f", "-sS", url], env=documented_curl, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", sorted(OUTPUT))
def test_the_scripts_of_the_documentation_run_unchanged(documented_curl, script):
    done = subprocess.run(
        ["bash", SCRIPTS / script], env=documented_curl, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(OUTPUT[script], done.stdout.strip())


def test_the_scripts_are_those_of_the_documentation():
    assert {path.name for path in SCRIPTS.iterdir()} == set(OUTPUT)
