"""The Flask applications of the gateway, without processes behind them."""

from datetime import UTC, datetime

import pytest

from gateway.app import create_app
from gateway.facades import FACADES, operator
from gateway.history import History
from gateway.monitor import Monitor
from gateway.overview import Overview
from gateway.settings import GatewaySettings


class Nobody:
    """A backend that is not there."""

    stub = None
    picture = None


@pytest.fixture(scope="session")
def applications():
    """One application per documented port."""
    settings = GatewaySettings()
    made = {}
    for facade in FACADES:
        blueprint = facade.create_blueprint(Nobody(), settings)
        port = getattr(settings, f"{facade.name}_port")
        made[port] = create_app(facade.name, blueprint, facade.error_response, 1000)
    overview = Overview(Monitor([]), History(), [], lambda _: (0, 0), "", datetime.now(UTC))
    pages = operator.create_blueprint(overview, bool, lambda: iter(()))
    made[settings.operator_port] = create_app("operator", pages, operator.error_response, 1000)
    return made
