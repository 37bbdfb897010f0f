"""What many tests need: a condition to wait for, and the process's own time limits."""

import asyncio
from collections.abc import Callable

import pytest


@pytest.fixture
def until():
    """Wait until a condition holds, failing after a generous deadline; never sleep and hope."""

    async def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    return wait_until
