"""Write the page of all settings from the models that read them."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import GatewaySettings
from runtime.settings import Settings
from services.converter.settings import ConverterSettings
from services.llmproxy.settings import LlmProxySettings
from services.media.settings import MediaSettings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
MODELS: tuple[type[Settings], ...] = (GatewaySettings, ConverterSettings, MediaSettings, LlmProxySettings)
HEAD = """# Settings

Every process reads, the last one winning: its defaults, its table in a TOML or JSON file (`--config` or
`PULSEGATE_CONFIG`, one table per process), the environment, its flags. A setting `some_name` has the flag
`--some-name`, unless it is a secret, and the variables listed with it; an empty variable counts as unset.
`pulsegate doctor` tells what each process would be told here and now, and by whom.

This page is written by `python -m deploy.settings_page` and compared with the code by a test.
"""


def page() -> str:
    """Render the whole page."""
    return "\n".join([HEAD, *(line for model in MODELS for line in _section(model))])


def _section(model: type[Settings]) -> Iterator[str]:
    yield f"## {model.process}\n\n| setting | default | variables | meaning |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        variables = "<br>".join(f"`{variable}`" for variable in _variables(model.process, name, field))
        yield f"| `{name}` | {_default(field)} | {variables} | {field.description or ''} |"
    yield ""


def _variables(process: str, name: str, field: FieldInfo) -> list[str]:
    """Name what the environment may say, our own variable first."""
    own = f"PULSEGATE_{process.upper()}_{name.upper()}"
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else []
    return [own, *(str(one) for one in choices if str(one).isupper() and one != own)]


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, SecretStr) or default in ("", [], (), None):
        return ""
    text = ", ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    return f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
