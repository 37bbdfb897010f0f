"""What the page of the LLM proxy shows, as one document made of what the replicas tell anyway."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.facades.llmproxy.accounts import budgets_document
from gateway.monitor import Picture
from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as messages

Json = dict[str, Any]

PROVIDER_PREFIX = "llmproxy.provider."
READY_NAMES = ("", "readiness", "liveness", "llmproxy.v1.LlmProxyService")


def board_document(picture: Picture, settings: GatewaySettings) -> Json:
    """Tell everything of all replicas: counts added up, latencies the worst of them, what is unwell by any."""
    statuses: list[messages.LlmProxyStatus] = picture.statuses()
    activities = [status.activity for status in statuses]
    total = sum(one.requests_total for one in activities)
    succeeded = sum(one.requests_succeeded for one in activities)
    failed = sum(one.requests_failed for one in activities)
    return {
        "time": _time(datetime.now(UTC)),
        "state": picture.state,
        "reason": next((one.last_error for one in picture.replicas if not one.serving()), ""),
        "replicas": {"serving": sum(one.serving() for one in picture.replicas), "all": len(picture.replicas)},
        "version": statuses[0].version if statuses else "",
        "startedAt": _time(min(_moment(status.started_at) for status in statuses)) if statuses else None,
        "keyNeeded": bool(settings.client_keys),
        "requests": {"total": total, "failed": failed, "running": total - succeeded - failed},
        "providers": _providers(statuses),
        "routes": _routes(statuses),
        "minutes": _minutes(activities),
        "budgets": budgets_document(statuses),
        "troubles": _troubles(statuses),
    }


def _providers(statuses: Sequence[messages.LlmProxyStatus]) -> list[Json]:
    """Tell each provider once; where replicas disagree, what is wrong is told."""
    told: dict[str, Json] = {}
    for status in statuses:
        words = {one.name: one for one in status.health}
        for one in status.providers:
            word = words.get(f"{PROVIDER_PREFIX}{one.name}")
            serving = word is None or word.serving
            entry = {
                "name": one.name,
                "state": _state(one, serving=serving),
                "reason": word.last_error if word and not serving else "",
                "since": _time(_moment(word.since)) if word else None,
                "lastCheck": _time(_moment(one.last_check)) if one.HasField("last_check") else None,
                "responseMs": one.response_time_ms,
            }
            known = told.setdefault(one.name, entry)
            if known["state"] == "healthy" != entry["state"]:
                told[one.name] = entry
    return list(told.values())


def _state(provider: messages.ProviderStatus, *, serving: bool) -> str:
    if not provider.enabled:
        return "disabled"
    if not provider.credential:
        return "keyless"
    if not provider.healthy:
        return "unhealthy"
    return "healthy" if serving else "preparing"


def _routes(statuses: Sequence[messages.LlmProxyStatus]) -> list[Json]:
    told = {route.name: list(route.targets) for status in statuses for route in status.routes}
    return [{"name": name, "targets": told[name]} for name in sorted(told)]


def _minutes(activities: Iterable[messages.Activity]) -> list[Json]:
    merged: dict[int, Json] = {}
    for minute in (minute for activity in activities for minute in activity.minutes):
        start = minute.start.seconds
        known = merged.setdefault(start, {"start": _time(_moment(minute.start)), **dict.fromkeys(_ADDED + _WORST, 0)})
        for name in _ADDED:
            known[name] += getattr(minute, _FIELDS[name])
        for name in _WORST:
            known[name] = max(known[name], round(getattr(minute, _FIELDS[name]), 1))
    return [merged[start] for start in sorted(merged)]


_FIELDS = {
    "requests": "requests",
    "failed": "failed",
    "input": "input_tokens",
    "output": "output_tokens",
    "firstByteMs": "first_byte_p50_ms",
    "medianMs": "total_p50_ms",
    "p95Ms": "total_p95_ms",
}
_ADDED, _WORST = tuple(_FIELDS)[:4], tuple(_FIELDS)[4:]


def _troubles(statuses: Iterable[messages.LlmProxyStatus]) -> list[Json]:
    """Tell what does not serve besides providers: the configuration, the records of usage."""
    return [
        {"name": one.name, "reason": one.last_error}
        for status in statuses
        for one in status.health
        if not (one.serving or one.name in READY_NAMES or one.name.startswith(PROVIDER_PREFIX))
    ]


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
