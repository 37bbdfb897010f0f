"""What the llmproxy process can be told: its own settings and the variables its original documents."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field

from runtime.settings import BackendSettings


def _also(name: str, *others: str) -> AliasChoices:
    """Accept a documented variable beside our own."""
    return AliasChoices(f"PULSEGATE_LLMPROXY_{name.upper()}", *others)


class LlmProxySettings(BackendSettings):
    """Read once at start."""

    process: ClassVar[str] = "llmproxy"

    address: str = Field("127.0.0.1:50053", description="gRPC listener, host:port; port 0 picks a free one")
    metrics_address: str = Field("127.0.0.1:9103", description="Prometheus listener, host:port; `off` for none")
    version: str = Field(
        "",
        description="version to report instead of the package's",
        validation_alias=_also("version", "CCPROXY_VERSION"),
    )
    proxy_url: str = Field(
        "",
        description="outbound HTTP proxy towards providers",
        validation_alias=_also("proxy_url", "CCPROXY_PROXY_URL", "PROXY_URL", "httpsProxy"),
    )
    ccproxy_config: Path | None = Field(
        None,
        description="CCProxy configuration file; searched for in its documented places if empty",
        validation_alias=_also("ccproxy_config", "CCPROXY_CONFIG"),
    )
    connect_seconds: float = Field(10.0, gt=0, description="time to connect to a provider")
    first_byte_seconds: float = Field(600.0, gt=0, description="time a provider gets to begin its answer")
    idle_seconds: float = Field(120.0, gt=0, description="longest silence within a provider's answer")
    retries: int = Field(1, ge=0, description="times a provider that failed before its first byte is asked again")
    adaptive_thinks: bool = Field(
        False, description="whether adaptive thinking takes the route `think`; Claude Code asks for it nearly always"
    )
    usage_dir: str = Field(
        "~/.ccproxy", description="folder of the file that keeps who spent what; `off` keeps that in memory only"
    )
    usage_days: int = Field(31, ge=1, description="days that the record of each request is kept; sums are kept longer")
    budget_tokens_per_day: int = Field(0, ge=0, description="tokens a client's key may spend a day, UTC; 0 for any")
    budget_tokens_per_month: int = Field(0, ge=0, description="tokens a client's key may spend a month, UTC; 0 for any")
    local_model: Path | None = Field(None, description="GGUF file of the embedded model; the bundled one if empty")
    local_threads: int = Field(1, ge=1, description="threads of the embedded model; more only where cores are free")
    local_slots: int = Field(2, ge=1, description="answers the embedded model gives at once")
    local_context: int = Field(8192, ge=512, description="tokens of the embedded model's context, shared by its slots")
    local_answer_tokens: int = Field(
        1024, ge=1, description="longest answer of the embedded model, which seldom ends by itself"
    )
    local_queue: int = Field(16, ge=0, description="requests that may wait for the embedded model")

    @property
    def usage_folder(self) -> Path | None:
        """Where usage is kept; None for nowhere."""
        return None if self.usage_dir == "off" else Path(self.usage_dir).expanduser()
