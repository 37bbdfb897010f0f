"""Which providers and routes there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from services.llmproxy.presets import PRESETS
from services.llmproxy.routing import Route
from services.llmproxy.settings import LlmProxySettings


@dataclass(frozen=True, slots=True)
class ProviderConfiguration:
    """One provider as configured; no models means any model."""

    name: str
    message_format: str
    api_base_url: str = ""
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    models: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Configuration:
    """Providers in configured order, and where requests go."""

    providers: tuple[ProviderConfiguration, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)


def from_settings(settings: LlmProxySettings) -> Configuration:
    """Use every vendor whose key is at hand, and behind them the embedded model, which needs none."""
    providers = []
    if settings.anthropic_api_key.get_secret_value():
        preset = PRESETS["anthropic"]
        providers.append(
            ProviderConfiguration("anthropic", preset.message_format, preset.base_url, settings.anthropic_api_key)
        )
    return Configuration((*providers, ProviderConfiguration("local", PRESETS["local"].message_format)))
