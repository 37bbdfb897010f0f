"""What the gateway can be told: where it listens, where its backends are, who may call."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import NoDecode

from gateway.limits import Limits
from gateway.peer import Network
from runtime.settings import Settings
from runtime.tls import CertificateFiles, certificate_files


def _documented(name: str, *variables: str) -> AliasChoices:
    return AliasChoices(f"PULSEGATE_GATEWAY_{name.upper()}", *variables, name)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Networks = Annotated[list[Network], NoDecode, BeforeValidator(_split)]
Texts = Annotated[list[str], NoDecode, BeforeValidator(_split)]

MOST_MESSAGE_BYTES = 60 * 1024 * 1024
"""What fits into one call of a backend, with room for its headers."""


class GatewaySettings(Settings):
    """Settings of the gateway; the documented variables of the originals work beside ``PULSEGATE_GATEWAY_*``."""

    process: ClassVar[str] = "gateway"

    host: str = Field("127.0.0.1", description="address every listener binds unless told otherwise")

    converter_host: str = Field(
        "", validation_alias=_documented("converter_host", "HOST"), description="address of the converter's REST"
    )
    converter_port: int = Field(
        5000, ge=0, le=65535, validation_alias=_documented("converter_port", "PORT"), description="converter REST port"
    )
    media_host: str = Field(
        "", validation_alias=_documented("media_host", "ICEY_HOST"), description="address of the media server's REST"
    )
    media_port: int = Field(
        4500, ge=0, le=65535, validation_alias=_documented("media_port", "ICEY_PORT"), description="media REST port"
    )
    llmproxy_host: str = Field(
        "",
        validation_alias=_documented("llmproxy_host", "CCPROXY_HOST"),
        description="address of the LLM proxy's REST; loopback only while no key is set",
    )
    llmproxy_port: int = Field(
        3456,
        ge=0,
        le=65535,
        validation_alias=_documented("llmproxy_port", "CCPROXY_PORT"),
        description="LLM proxy REST port",
    )
    operator_host: str = Field("", description="address of the operator's pages")
    operator_port: int = Field(8080, ge=0, le=65535, description="operator port")

    converter_target: str = Field("127.0.0.1:50051", description="gRPC address of the converter, several by comma")
    media_target: str = Field("127.0.0.1:50052", description="gRPC address of the media backend, several by comma")
    llmproxy_target: str = Field("127.0.0.1:50053", description="gRPC address of the LLM proxy, several by comma")
    freshness_seconds: float = Field(2.0, gt=0, description="age of the last answer that makes a backend unreachable")

    tls_certificate: str = Field("", description="PEM file of the certificate for every port; empty for plain HTTP")
    tls_key: str = Field("", description="PEM file of its key")
    converter_tls_certificate: str = Field("", description="certificate of the converter's REST alone")
    converter_tls_key: str = Field("", description="PEM file of its key")
    media_tls_certificate: str = Field(
        "",
        validation_alias=_documented("media_tls_certificate", "ICEY_TLS_CERT"),
        description="certificate of the media server's REST alone",
    )
    media_tls_key: str = Field(
        "", validation_alias=_documented("media_tls_key", "ICEY_TLS_KEY"), description="PEM file of its key"
    )
    llmproxy_tls_certificate: str = Field("", description="certificate of the LLM proxy's REST alone")
    llmproxy_tls_key: str = Field("", description="PEM file of its key")
    operator_tls_certificate: str = Field("", description="certificate of the operator's port alone")
    operator_tls_key: str = Field("", description="PEM file of its key")

    converter_ice_address: str = Field("localhost:10000", description="what the converter's status calls servidor")
    operator_token: SecretStr = Field(
        SecretStr(""), description="token of the operator's pages, but for /healthz and /readyz; empty leaves them open"
    )
    open_metrics: bool = Field(False, description="whether /metrics needs no token")
    media_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_documented("media_token", "ICEY_AUTH_TOKEN"),
        description="token of the media API; empty leaves it open",
    )
    media_allowed_origins: Annotated[list[str], NoDecode, BeforeValidator(_split)] = Field(
        default_factory=list,
        description="origins of pages elsewhere that may open a signalling socket, `https://host`, by comma",
    )
    media_web_root: str = Field(
        "",
        validation_alias=_documented("media_web_root", "ICEY_WEB_ROOT"),
        description="folder of the media page; empty for the bundled one",
    )
    llmproxy_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_documented("llmproxy_key", "CCPROXY_API_KEY", "CCPROXY_APIKEY", "APIKEY"),
        description="key of the LLM API; empty restricts it to loopback",
    )
    llmproxy_keys: SecretStr = Field(
        SecretStr(""), description="more keys of the LLM API, by comma; each has its own usage and budget"
    )
    llmproxy_ip_whitelist: Networks = Field(
        default_factory=list,
        validation_alias=_documented("llmproxy_ip_whitelist", "CCPROXY_SECURITY_IP_WHITELIST"),
        description="networks that may use the LLM API beside this machine, CIDR by comma; empty for all",
    )
    llmproxy_ip_blacklist: Networks = Field(
        default_factory=list,
        validation_alias=_documented("llmproxy_ip_blacklist", "CCPROXY_SECURITY_IP_BLACKLIST"),
        description="networks that may not use the LLM API, CIDR by comma",
    )
    llmproxy_cors: bool = Field(
        True,
        validation_alias=_documented("llmproxy_cors", "CCPROXY_SECURITY_CORS_ENABLED"),
        description="whether pages of other sites may read the LLM API's answers",
    )
    llmproxy_cors_origins: Texts = Field(
        default_factory=lambda: ["*"],
        validation_alias=_documented("llmproxy_cors_origins", "CCPROXY_SECURITY_CORS_ORIGINS"),
        description="those sites, by comma; * for any",
    )
    llmproxy_cors_headers: Texts = Field(
        default_factory=list,
        validation_alias=_documented("llmproxy_cors_headers", "CCPROXY_SECURITY_ALLOWED_HEADERS"),
        description="headers they may send beside the documented ones, by comma",
    )
    llmproxy_audit: bool = Field(
        False,
        validation_alias=_documented("llmproxy_audit", "CCPROXY_SECURITY_AUDIT_ENABLED"),
        description="whether a line is logged of who used or was refused the LLM API",
    )
    llmproxy_max_body_bytes: int | None = Field(
        None,
        ge=0,
        validation_alias=_documented("llmproxy_max_body_bytes", "CCPROXY_PERFORMANCE_MAX_REQUEST_BODY_SIZE"),
        description="largest request body of the LLM API, 0 for all its process takes; `max_body_bytes` if empty",
    )
    ccproxy_config: Path | None = Field(
        None,
        validation_alias=_documented("ccproxy_config", "CCPROXY_CONFIG"),
        description="CCProxy configuration file; searched for in its documented places if empty",
    )
    icey_config: Path | None = Field(
        None,
        validation_alias=_documented("icey_config", "ICEY_CONFIG"),
        description="icey-server configuration file; ./config.json if empty",
    )
    max_body_bytes: int = Field(10_485_760, gt=0, description="largest request body")
    max_header_bytes: int = Field(32_768, ge=1024, description="largest head of a request")
    header_seconds: float = Field(10.0, gt=0, description="time for the head of a request, from its first byte on")
    body_seconds: float = Field(30.0, gt=0, description="time for a body, and 1 s more for each 10 kB of it")
    stall_seconds: float = Field(30.0, gt=0, description="time a client may leave an answer unread")
    max_sockets: int = Field(4096, gt=0, description="client sockets open at once")
    max_sockets_per_client: int = Field(
        1024, ge=0, description="those of one address, or IPv6 network, that is no trusted proxy; 0 for no limit"
    )
    max_answers: int = Field(2000, gt=0, description="answers given at once, streams among them, probes not")
    requests_per_minute: int = Field(
        0, ge=0, description="requests of one client besides probes and the operator's, counted evenly; 0 for no limit"
    )
    trusted_proxies: Networks = Field(
        default_factory=list, description="networks whose forwarding headers count, CIDR by comma"
    )

    @property
    def limits(self) -> Limits:
        """What a client may take."""
        return Limits(
            header_bytes=self.max_header_bytes,
            header_seconds=self.header_seconds,
            stall_seconds=self.stall_seconds,
            sockets=self.max_sockets,
            sockets_per_client=self.max_sockets_per_client,
            answers=self.max_answers,
            requests_per_minute=self.requests_per_minute,
        )

    def max_body(self, name: str) -> int:
        """Tell the largest body that a façade takes."""
        own = self.llmproxy_max_body_bytes if name == "llmproxy" else None
        return min(self.max_body_bytes if own is None else own or MOST_MESSAGE_BYTES, MOST_MESSAGE_BYTES)

    def listener(self, name: str) -> tuple[str, int]:
        """Tell host and port of one façade, or of the operator's pages."""
        host = getattr(self, f"{name}_host") or self.host
        loopback_only = name == "llmproxy" and not self.client_keys
        return ("127.0.0.1" if loopback_only else host, getattr(self, f"{name}_port"))

    def tls(self, name: str) -> CertificateFiles | None:
        """Tell the certificate of one port; None means plain HTTP."""
        own = certificate_files(getattr(self, f"{name}_tls_certificate"), getattr(self, f"{name}_tls_key"), "")
        return own or certificate_files(self.tls_certificate, self.tls_key, "")

    def scheme(self, name: str) -> str:
        """Tell how a port is called."""
        return "https" if self.tls(name) else "http"

    @model_validator(mode="after")
    def _files_of_tls_exist(self) -> Self:
        for name in ("converter", "media", "llmproxy", "operator"):
            self.tls(name)
        return self

    @property
    def client_keys(self) -> tuple[str, ...]:
        """Every key of the LLM API."""
        told = [self.llmproxy_key.get_secret_value(), *self.llmproxy_keys.get_secret_value().split(",")]
        return tuple(dict.fromkeys(key.strip() for key in told if key.strip()))

    def target(self, name: str) -> str:
        """Tell the gRPC target of one backend."""
        return str(getattr(self, f"{name}_target"))
