"""The one document of the operator's pages: what every backend, replica and health name is, was and answers."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Flask

from gateway import answers, recipes
from gateway.history import History, Span
from gateway.monitor import Monitor, Picture, Replica, Word

Json = dict[str, Any]

EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104  looked for, not bound
HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]")


@dataclass(frozen=True)
class Exposed:
    """A backend with the façade that stands before it.

    ``facts`` tells in a few words what a replica's status document says beyond its health.
    """

    name: str
    service: str
    target: str
    scheme: str
    listener: tuple[str, int]
    paths: Sequence[str]
    application: Flask
    facts: Callable[[Any], Mapping[str, str]]


@dataclass(frozen=True)
class Overview:
    """Makes the document anew from the monitor's pictures whenever it is asked for.

    ``count_answers`` tells of a façade how many answers it gave, and how many server errors besides those of probes.
    """

    monitor: Monitor
    history: History
    exposed: Sequence[Exposed]
    count_answers: Callable[[str], tuple[int, int]]
    version: str
    started_at: datetime

    def document(self, host: str = "localhost") -> Json:
        """Tell everything; ``host`` is how the reader calls this machine where a façade listens on every address."""
        return {
            "time": _time(datetime.now(UTC)),
            "gateway": {"version": self.version, "startedAt": _time(self.started_at)},
            "windowSeconds": int(self.history.window.total_seconds()),
            "backends": [self._backend(one, host) for one in self.exposed],
        }

    def _backend(self, one: Exposed, host: str) -> Json:
        picture = self.monitor.picture(one.name)
        spans = self.history.spans(one.name)
        url = _url(one.scheme, one.listener, host)
        replicas = [self._replica(one, replica) for replica in picture.replicas]
        total, failed = self.count_answers(one.name)
        return {
            "name": one.name,
            "service": one.service,
            "target": one.target,
            "url": url,
            "state": picture.state,
            "since": _time(spans[-1].since if spans else self.started_at),
            "reason": _reason(one, picture, replicas),
            "requests": {"total": total, "failed": failed},
            "history": _history(spans),
            "replicas": replicas,
            "answers": [
                {"path": answer.path, "status": answer.status, "contentType": answer.content_type, "body": answer.body}
                for answer in answers.ask(one.application, one.listener[1], one.paths)
            ],
            "commands": _commands(one, url, replicas),
        }

    def _replica(self, one: Exposed, replica: Replica) -> Json:
        status: Any = replica.status
        return {
            "address": replica.address,
            "reachable": replica.reachable,
            "state": replica.state,
            "since": _time(replica.since),
            "lastError": replica.last_error,
            "checkMs": None if replica.check_seconds is None else round(1000 * replica.check_seconds, 3),
            "version": status.version if status else None,
            "pid": status.pid if status else None,
            "startedAt": _time(status.started_at.ToDatetime(UTC)) if status and status.HasField("started_at") else None,
            "facts": dict(one.facts(status)) if status else {},
            "history": _history(self.history.spans(one.name, replica.address)),
            "health": self._health(one, replica),
        }

    def _health(self, one: Exposed, replica: Replica) -> list[Json]:
        reported = {component.name: component for component in getattr(replica.status, "health", ())}
        return [
            {
                **_name(name, replica, replica.words.get(name), reported.get(name)),
                "history": _history(self.history.spans(one.name, replica.address, name)),
            }
            for name in self.history.names(one.name, replica.address)
        ]


def _name(name: str, replica: Replica, word: Word | None, reported: Any) -> Json:  # noqa: ANN401  each contract has its own
    """Merge the last word of the health protocol with the reason that only the status document has."""
    serving = "SERVING" if getattr(reported, "serving", False) else "NOT_SERVING"
    if not replica.reachable:
        status, since = "UNKNOWN", replica.since
    elif reported:
        status, since = word.status if word else serving, reported.since.ToDatetime(UTC)
    else:
        status, since = (word.status, word.since) if word else (serving, replica.since)
    return {"name": name, "status": status, "since": _time(since), "lastError": getattr(reported, "last_error", "")}


def _reason(one: Exposed, picture: Picture, replicas: Iterable[Json]) -> str:
    """Say in one line what is wrong with a backend, also where it serves nevertheless."""
    if picture.state == "unknown":
        return ""
    reasons = []
    for replica in replicas:
        if not replica["reachable"]:
            where = f"{replica['address']}: " if len(picture.replicas) > 1 else ""
            reasons.append(f"{where}{replica['lastError']}")
            continue
        lost = [name for name in replica["health"] if name["status"] == "NOT_SERVING"]
        parts = [name for name in lost if name["name"] not in {"", recipes.READINESS, one.service}] or lost
        reasons += [f"{name['name']}: {name['lastError'] or 'not serving'}".lstrip(": ") for name in parts]
    return "; ".join(dict.fromkeys(reasons))


def _commands(one: Exposed, url: str, replicas: Sequence[Json]) -> list[Json]:
    found = recipes.for_rest(url, one.paths)
    for replica in replicas:
        components = [name["name"] for name in replica["health"] if name["name"].startswith(f"{one.name}.")]
        found += recipes.for_grpc(replica["address"], [name for name in components if name != one.service])
    found += recipes.for_kubernetes(replicas[0]["address"] if replicas else "")
    return [{"tool": recipe.tool, "command": recipe.command} for recipe in found]


def _history(spans: Iterable[Span]) -> list[Json]:
    return [{"state": span.state, "since": _time(span.since)} for span in spans]


def _url(scheme: str, listener: tuple[str, int], host: str) -> str:
    bound, port = listener
    if bound in EVERY_ADDRESS:
        bound = host if HOST.fullmatch(host) else "localhost"
    elif ":" in bound:
        bound = f"[{bound}]"
    return f"{scheme}://{bound}:{port}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
