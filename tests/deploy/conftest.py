"""The chart rendered by the true Helm, in both majors."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.rendering import Helm, Manifest, Rendered, program


@pytest.fixture(scope="session")
def helm4() -> Helm:
    return Helm(program("helm4"))


@pytest.fixture(scope="session")
def helm3() -> Helm:
    return Helm(program("helm3"))


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Helm:
    found: Helm = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def render(helm4: Helm) -> Callable[..., Rendered]:
    """Render with the newest Helm what must render."""

    def render_with(values: Manifest | None = None, *files: Path) -> Rendered:
        rendered = helm4.template(values, files)
        assert not rendered.error
        return rendered

    return render_with
