"""The settings all processes share, read once at start with every problem reported together."""

import argparse
import json
import logging
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from runtime import logs
from runtime.tls import CertificateFiles, certificate_files

USAGE_EXIT = 2
FILE_EXIT = 3

_USER_INFORMATION = re.compile(r"//[^/@\s]+@")

log = logging.getLogger(__name__)


class Settings(BaseSettings):
    """What every process can be told; a process adds its own fields in a subclass.

    ``process`` names the table of the settings file and the prefix ``PULSEGATE_<PROCESS>_`` of the variables.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    process: ClassVar[str]

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line to log")
    drain_seconds: float = Field(0.5, ge=0, description="time to say NOT_SERVING before refusing calls")
    grace_seconds: float = Field(10.0, ge=0, description="time running calls get to end at shutdown")
    grpc_certificate: str = Field("", description="PEM file of the certificate for gRPC; empty for plaintext")
    grpc_key: str = Field("", description="PEM file of its key")
    grpc_authority: str = Field("", description="PEM file of the authority the other side's certificate must be of")

    @property
    def certificates(self) -> CertificateFiles | None:
        """The files of gRPC's certificates; None means plaintext."""
        return certificate_files(self.grpc_certificate, self.grpc_key, self.grpc_authority)

    @model_validator(mode="after")
    def _certificates_are_complete(self) -> Self:
        certificate_files(self.grpc_certificate, self.grpc_key, self.grpc_authority)
        return self


class BackendSettings(Settings):
    """What every backend can be told."""

    address: str = Field(description="gRPC listener, host:port; port 0 picks a free one")
    metrics_address: str = Field(description="Prometheus listener, host:port; `off` for none")


class UnreadableFile(Exception):
    """The settings file cannot be read."""


@dataclass(frozen=True)
class Told:
    """One setting as a process would have it now; of a secret only whether it is set."""

    name: str
    value: str
    source: Literal["default", "file", "environment"]


@dataclass(frozen=True)
class Explanation:
    """What a process started now without flags would be told, and what it would complain of."""

    model: Settings | None = None
    settings: Sequence[Told] = ()
    problems: Sequence[str] = ()
    unknown: Sequence[str] = ()


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(settings_class: type[AnySettings], arguments: Sequence[str]) -> AnySettings:
    """Read defaults, file, environment and flags, the last one winning; set logging up.

    The file is TOML or JSON with one table per process, named by ``--config`` or ``PULSEGATE_CONFIG``.
    Exits with one line per problem: code 2 for a bad value or flag, 3 for a file that cannot be read.
    """
    flags = vars(_parser(settings_class).parse_args(arguments))
    try:
        table = _read_table(flags.pop("config", None), settings_class.process)
        settings = _with_file(settings_class, table)(**flags)
    except UnreadableFile as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201  no log yet
        raise SystemExit(FILE_EXIT) from None
    except ValidationError as error:
        for problem in _problems(settings_class, error):
            print(f"Error: {problem}", file=sys.stderr)  # noqa: T201  no log yet
        raise SystemExit(USAGE_EXIT) from None
    logs.configure(settings.log_level)
    for name in sorted(_unknown(settings_class, table)):
        log.warning("unknown setting ignored", extra={"setting": name})
    return settings


def current(settings_class: type[AnySettings]) -> AnySettings | None:
    """Return what a process started now without flags would be told; None if that would not do."""
    try:
        return _with_file(settings_class, _read_table(None, settings_class.process))()
    except (UnreadableFile, ValidationError):
        return None


def explain(settings_class: type[Settings]) -> Explanation:
    """Tell where each setting would come from; never exits and logs nothing."""
    try:
        table = _read_table(None, settings_class.process)
        settings = _with_file(settings_class, table)()
        from_environment = _with_file(settings_class, {})().model_fields_set
    except UnreadableFile as error:
        return Explanation(problems=[str(error)])
    except ValidationError as error:
        return Explanation(problems=_problems(settings_class, error))
    told = []
    for name in settings_class.model_fields:
        in_file: Literal["file", "default"] = "file" if name in settings.model_fields_set else "default"
        source = "environment" if name in from_environment else in_file
        told.append(Told(name, _shown(getattr(settings, name)), source))
    return Explanation(settings, told, unknown=sorted(_unknown(settings_class, table)))


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(not set)"
    text = ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)
    return _USER_INFORMATION.sub("//(hidden)@", text)


def _problems(settings_class: type[Settings], error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in (settings_class.process, *problem['loc']))}: {problem['msg']}"
        for problem in error.errors()
    ]


def _parser(settings_class: type[Settings]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"pulsegate {settings_class.process}", argument_default=argparse.SUPPRESS)
    parser.add_argument("--config", metavar="FILE", help="TOML or JSON settings, one table per process")
    for name, field in settings_class.model_fields.items():
        if field.annotation is not SecretStr:  # a secret on a command line is no secret
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=field.description)
    return parser


def _read_table(named: str | None, process: str) -> dict[str, Any]:
    path = Path(named or os.environ.get("PULSEGATE_CONFIG", ""))
    if path == Path():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        table = document.get(process, {})
        if not isinstance(table, dict):
            raise TypeError(f"{process} is not a table")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableFile(f"settings file {path}: {error}") from None
    return table


def _with_file(settings_class: type[AnySettings], table: dict[str, Any]) -> type[AnySettings]:
    class WithFile(settings_class):  # type: ignore[valid-type,misc]  # the library wants sources on the class
        model_config = SettingsConfigDict(env_prefix=f"PULSEGATE_{settings_class.process.upper()}_")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            **_others: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=table)

    return WithFile


def _unknown(settings_class: type[Settings], table: Mapping[str, object]) -> set[str]:
    prefix = f"PULSEGATE_{settings_class.process.upper()}_"
    variables = {name.removeprefix(prefix).lower(): name for name in os.environ if name.startswith(prefix)}
    fields = settings_class.model_fields.keys()
    return (table.keys() - fields) | {variables[name] for name in variables.keys() - fields}
