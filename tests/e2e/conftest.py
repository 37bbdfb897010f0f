"""The four real processes, running or to be started."""

import os
import shutil

import pytest

from tests.e2e.system import DOCUMENTED_PORTS, MODULES, START_SECONDS, running_system, wait_for


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    """Everything running and serving; a test must leave it so."""
    with running_system(tmp_path_factory.mktemp("system")) as system:
        system.start(*MODULES)
        wait_for(system.all_serving, START_SECONDS, "everything to serve")
        yield system


@pytest.fixture
def own_system(tmp_path):
    """Nothing running yet."""
    with running_system(tmp_path) as system:
        yield system


@pytest.fixture
def documented_curl(system, tmp_path):
    """An environment in which curl finds the documented ports of localhost at the ports of this system."""
    lines = [
        f'connect-to = "localhost:{port}:127.0.0.1:{system.ports[f"{name} rest"]}"'
        for name, port in DOCUMENTED_PORTS.items()
    ]
    (tmp_path / ".curlrc").write_text("\n".join(lines) + "\n")
    for tool in ("curl", "jq"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return {"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path)}
