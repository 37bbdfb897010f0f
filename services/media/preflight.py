"""The preflight report: what was checked, in documented order and words, and what to mind."""

from dataclasses import dataclass, field
from typing import Literal

from services.media.origin import Origin

Result = Literal["pass", "warn", "fail"]

TURN_WITHOUT_ADDRESS = "TURN is enabled without externalIp while binding to a wildcard host"
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  recognised, not bound


@dataclass(frozen=True)
class Check:
    """One line of the report; ``detail`` is a sentence that keeps paths and holds no credential."""

    name: str
    result: Result
    detail: str


@dataclass(frozen=True)
class Facts:
    """What the checks judge."""

    mode: str
    origin: Origin
    source_error: str
    """Why the source gives no picture; empty when it does."""
    source_missing: bool
    """The reason is a local file that is not there."""
    config_path: str
    config_found: bool
    config_error: str
    config_warnings: tuple[str, ...]
    openssl: str
    libavformat: str
    host: str
    turn_enabled: bool
    turn_external_ip: str
    turn_secret: bool
    turn_watched: bool
    """A TURN server is asked for, or has answered."""
    turn_error: str
    clock_synchronised: bool
    vision: bool
    speech: bool
    record_dir_error: str
    speech_rule: str
    speech_fallback: str
    """Why speech is not judged by the better rule; empty when it is."""
    streams_passed_over: int
    full: str
    """Why no session is taken now; empty while one is."""


@dataclass(frozen=True)
class Report:
    """Checks and warnings; ``degraded`` tells whether a warning of the kind that lowers the status is among them."""

    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    degraded: bool = field(default=False)

    @property
    def ready(self) -> bool:
        """No check failed."""
        return all(check.result != "fail" for check in self.checks)


def report(facts: Facts, *, running: bool = True) -> Report:
    """Judge the facts; of a process that does not run, nothing that only running shows."""
    lowering = tuple(_turn_warnings(facts))
    checks = [
        _config(facts),
        _version("openssl", f"Linked against OpenSSL {facts.openssl}", facts.openssl),
        _version("ffmpeg", f"libavformat {facts.libavformat}", facts.libavformat),
        _source(facts),
        _turn(facts),
        _intelligence(facts),
        *_lasting(facts),
        *(_live(facts) if running else []),
    ]
    return Report(tuple(checks), facts.config_warnings + lowering, bool(lowering))


def _config(facts: Facts) -> Check:
    if facts.config_error:
        return Check("config", "fail", f"Invalid config file {facts.config_path}: {facts.config_error}")
    if facts.config_found:
        return Check("config", "pass", f"Loaded config from {facts.config_path}")
    return Check("config", "pass", f"No config file at {facts.config_path}; using built-in defaults and CLI flags")


def _version(name: str, detail: str, found: str) -> Check:
    return Check(name, "pass", detail) if found else Check(name, "fail", f"{name} version is unknown")


def _source(facts: Facts) -> Check:
    origin = facts.origin
    if facts.mode != "stream":
        return Check("source", "pass", f"No configured media source required for {facts.mode} mode")
    if origin.kind == "none":
        return Check("source", "fail", "stream mode requires --source or media.source")
    if facts.source_missing:
        return Check("source", "fail", f"Local media source not found: {origin.value}")
    if origin.remote:
        return Check("source", "pass", f"Using remote media source {origin.shown}")
    if origin.kind == "device":
        return Check("source", "pass", f"Using local device {origin.value}")
    return Check("source", "pass", f"Found local media source at {origin.value}")


def _turn(facts: Facts) -> Check:
    if not facts.turn_enabled:
        return Check("turn", "warn", "TURN relay disabled")
    if facts.host in _WILDCARDS and not facts.turn_external_ip:
        return Check("turn", "warn", TURN_WITHOUT_ADDRESS)
    return Check("turn", "pass", "TURN relay is enabled")


def _intelligence(facts: Facts) -> Check:
    words = {True: "on", False: "off"}
    return Check("intelligence", "pass", f"vision={words[facts.vision]}, speech={words[facts.speech]}")


def _lasting(facts: Facts) -> list[Check]:
    """Check what is outside the process and can be lost; these follow the documented ones."""
    checks = []
    if facts.mode == "record":
        checks.append(
            Check("record_dir", "fail", f"Recordings cannot be written: {facts.record_dir_error}")
            if facts.record_dir_error
            else Check("record_dir", "pass", "Recordings can be written")
        )
    if facts.turn_watched:
        checks.append(
            Check("turn_reachable", "warn", f"The TURN server is of no use: {facts.turn_error}")
            if facts.turn_error
            else Check("turn_reachable", "pass", "The TURN server answers and relays")
        )
    if facts.turn_enabled and facts.turn_secret:
        checks.append(
            Check("clock", "pass", "The system keeps the clock that TURN credentials depend on")
            if facts.clock_synchronised
            else Check("clock", "warn", "The system does not synchronise its clock; TURN credentials depend on it")
        )
    return checks


def _live(facts: Facts) -> list[Check]:
    """Check what only a running process shows."""
    checks = []
    if facts.mode == "stream" and facts.origin.kind != "none":
        lost = facts.source_error
        checks.append(
            Check("source_live", "fail", f"The source gives no picture: {lost}")
            if lost
            else Check("source_live", "pass", "The source gives pictures")
        )
    if facts.mode == "relay":
        waiting = facts.source_error
        checks.append(
            Check("source_live", "warn", f"{waiting[:1].upper()}{waiting[1:]}")
            if waiting
            else Check("source_live", "pass", "No viewer waits for a publisher")
        )
    if facts.vision or facts.speech:
        checks.append(_detection(facts))
    checks.append(
        Check("capacity", "warn", f"No session is taken now: {facts.full}")
        if facts.full
        else Check("capacity", "pass", "New sessions are taken")
    )
    checks.append(Check("media_worker", "pass", "The media process answers"))
    return checks


def _detection(facts: Facts) -> Check:
    """Tell by what is detected, and what is not as it should be."""
    by = [*(["motion by difference of pictures"] if facts.vision else [])]
    by += [f"speech by {facts.speech_rule}"] if facts.speech else []
    amiss = [facts.speech_fallback] if facts.speech_fallback else []
    if facts.streams_passed_over:
        amiss.append(f"streams that are not looked at, because there are too many: {facts.streams_passed_over}")
    detail = f"Detecting {' and '.join(by)}"
    return Check("detection", "warn", f"{detail}; {'; '.join(amiss)}") if amiss else Check("detection", "pass", detail)


def _turn_warnings(facts: Facts) -> list[str]:
    if not facts.turn_enabled:
        return ["TURN is disabled; direct local/LAN calls may work, but remote NAT traversal will be limited."]
    exposed = facts.turn_external_ip or facts.host not in _WILDCARDS
    warnings = []
    if not facts.turn_secret and exposed:
        warnings.append("TURN is using demo credentials; configure turn.secret before exposing the server.")
    if facts.host in _WILDCARDS and not facts.turn_external_ip:
        warnings.append(
            "TURN externalIp is unset; remote NAT traversal may fail outside local or host-network testing."
        )
    return warnings
