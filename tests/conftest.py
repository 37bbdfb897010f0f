"""What many tests need: a condition to wait for, and logging left as it was found."""

import asyncio
import logging
import os
from collections.abc import Callable

import hypothesis
import pytest

from runtime import logs

hypothesis.settings.register_profile("any-machine", deadline=None)  # no wall-clock speed is asserted
hypothesis.settings.load_profile("any-machine")


@pytest.fixture
def until():
    """Wait until a condition holds, failing after a generous deadline; never sleep and hope."""

    async def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    return wait_until


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail in CI where a developer's machine may skip: a test that did not run has proved nothing.

    Only what no set-up could bring is let off, and its reason says so.
    """
    report = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [one for one in report.stats.get("skipped", ()) if "cannot be had here" not in str(one.longrepr)]
    if os.environ.get("CI") and skipped:
        report.write_line("\nCI skips nothing: make the set-up install what these tests miss", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.request_id.set("")
