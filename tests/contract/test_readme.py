"""What the README promises, read out of it and checked against the code."""

import re
from pathlib import Path

import pytest

from gateway.facades import FACADES
from gateway.settings import GatewaySettings
from services.llmproxy.settings import LlmProxySettings
from services.media.settings import MediaSettings

README = (Path(__file__).parents[2] / "README.md").read_text()


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)[1]


def rows(title):
    table = [line for line in section(title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def default(settings, field):
    return settings.model_fields[field].default


def test_the_table_of_processes_names_the_default_ports():
    listed = {row[0]: row[1] for row in rows("Processes")}
    ports = [default(GatewaySettings, f"{name}_port") for name in ("converter", "media", "llmproxy", "operator")]
    assert listed["gateway"] == "REST {}, {}, {}; operator {}".format(*ports)
    for name, settings in (("media", MediaSettings), ("llmproxy", LlmProxySettings)):
        for field in ("address", "metrics_address"):
            assert default(settings, field).rpartition(":")[2] in listed[name]
    assert default(GatewaySettings, "converter_target").rpartition(":")[2] in listed["converter"]


def test_every_backend_has_a_row_and_a_module():
    listed = {row[0]: row[2] for row in rows("Processes")}
    assert {name: listed[name] for name in (facade.name for facade in FACADES)} == {
        facade.name: f"`services.{facade.name}`" for facade in FACADES
    }


def test_every_service_and_watched_component_is_among_the_health_names():
    names = set(re.findall(r"`([a-z_.A-Z0-9<>]+)`", section("Health names")))
    assert {facade.service for facade in FACADES} <= names
    assert {component for facade in FACADES for component in facade.components} <= names


def promised():
    for route, *_ in rows("Routes, and what they say when a backend is down"):
        port = int(re.match(r"`:(\d+)`", route)[1])
        for method, path in re.findall(r"`([A-Z]+) (/\S*)`", route):
            yield pytest.param(port, method, path, id=f"{port} {method} {path}")


@pytest.mark.parametrize(("port", "method", "path"), list(promised()))
def test_every_route_of_the_table_exists(applications, port, method, path):
    adapter = applications[port].url_map.bind("any")
    concrete = re.sub(r"<[^>]+>", "x", path)
    endpoint, arguments = adapter.match(concrete, method=method)
    assert endpoint
    assert set(arguments) <= {"artifact", "category", "session_id"}


@pytest.mark.parametrize("variable", re.findall(r"PULSEGATE_GATEWAY_[A-Z]+(?:_[A-Z]+)*", README))
def test_every_variable_of_the_page_is_a_setting(variable):
    assert variable.removeprefix("PULSEGATE_GATEWAY_").lower() in GatewaySettings.model_fields
