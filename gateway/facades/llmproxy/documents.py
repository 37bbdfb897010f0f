"""What the LLM proxy's routes say of the process behind them, in the documented fields."""

from datetime import UTC, datetime

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.settings import GatewaySettings
from gen.llmproxy.v1 import llmproxy_pb2 as messages

STATES = {
    messages.LlmProxyStatus.STATE_STARTING: "starting",
    messages.LlmProxyStatus.STATE_READY: "ready",
    messages.LlmProxyStatus.STATE_DEGRADED: "degraded",
    messages.LlmProxyStatus.STATE_STOPPING: "stopping",
    messages.LlmProxyStatus.STATE_ERROR: "error",
}


def status_document(statuses: list[messages.LlmProxyStatus], settings: GatewaySettings) -> dict[str, object]:
    """Write the documented keys, and no other; with several replicas the youngest shows that one restarted."""
    told = _youngest(statuses)
    host, port = settings.listener("llmproxy")
    return {
        "service": "CCProxy",
        "version": told.version,
        "status": "running",
        "uptime": uptime_words(_uptime_nanoseconds(told) // 1_000_000_000),
        "pid": told.pid,
        "host": host,
        "port": port,
        "api_key_configured": bool(settings.client_keys),
        "providers": {
            "count": len(told.providers),
            "active": [one.name for one in told.providers if one.enabled and one.credential and one.healthy],
        },
        "build": {
            "version": told.build.version,
            "commit": told.build.commit,
            "date": _time(told.build.date) if told.build.HasField("date") else "unknown",
        },
    }


def uptime_words(seconds: int) -> str:
    """Write an uptime as documented, hours never capped."""
    return f"{seconds // 3600}h {seconds // 60 % 60}m {seconds % 60}s"


def health_document(statuses: list[messages.LlmProxyStatus], settings: GatewaySettings) -> dict[str, object]:
    """Write every field that documentation or program of the original have.

    With several replicas counters are sums, the average counts every request alike, and percentiles are the worst.
    """
    status = _youngest(statuses)
    told = [one.activity for one in statuses]
    total = sum(one.requests_total for one in told)
    host, port = settings.listener("llmproxy")
    return {
        "status": "healthy",
        "timestamp": _now(),
        "uptime": _uptime_nanoseconds(status),
        "version": status.version,
        "config": {
            "host": host,
            "port": port,
            "providers": len(status.providers),
            "api_key_configured": bool(settings.client_keys),
        },
        "performance": {
            "memory_mb": round(sum(one.memory_bytes for one in told) / 2**20, 1),
            "goroutines": sum(one.tasks for one in told),
            "requests": {
                "total": total,
                "success": sum(one.requests_succeeded for one in told),
                "failed": sum(one.requests_failed for one in told),
            },
            "latency": {
                "avg_ms": round(sum(one.latency.average_ms * one.requests_total for one in told) / max(1, total), 2),
                "p50_ms": round(max(one.latency.p50_ms for one in told), 2),
                "p95_ms": round(max(one.latency.p95_ms for one in told), 2),
                "p99_ms": round(max(one.latency.p99_ms for one in told), 2),
            },
        },
        "state": STATES.get(status.state, "error"),
        "providers": {
            "healthy": sum(one.healthy for one in status.providers),
            "total": len(status.providers),
            "details": {one.name: _provider_health(one) for one in status.providers},
        },
        "components": {one.name: _component(one) for one in status.health if one.name},
    }


def _youngest(statuses: list[messages.LlmProxyStatus]) -> messages.LlmProxyStatus:
    return max(statuses, key=lambda one: one.started_at.ToNanoseconds())


def _provider_health(provider: messages.ProviderStatus) -> dict[str, object]:
    return {
        "healthy": provider.healthy,
        "last_check": _time(provider.last_check) if provider.HasField("last_check") else None,
        "response_time_ms": provider.response_time_ms,
        "enabled": provider.enabled,
    }


def _component(component: messages.ComponentHealth) -> dict[str, object]:
    document: dict[str, object] = {
        "state": "ready" if component.serving else "error",
        "last_changed": _time(component.since),
    }
    if component.last_error and not component.serving:
        document["error"] = component.last_error
    return document


def unhealthy_document() -> dict[str, object]:
    """Write what a probe reads when no message would be answered."""
    return {"status": "unhealthy", "timestamp": _now()}


def _uptime_nanoseconds(status: messages.LlmProxyStatus) -> int:
    now = Timestamp()
    now.GetCurrentTime()
    return max(0, now.ToNanoseconds() - status.started_at.ToNanoseconds())


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().isoformat(timespec="seconds") + "Z"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def model_document(model: messages.Model) -> dict[str, object]:
    """Write one model in a shape that both Anthropic's and OpenAI's clients read."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": _time(model.created_at),
        "object": "model",
        "created": model.created_at.seconds,
        "owned_by": model.provider,
        **({"max_input_tokens": model.max_input_tokens} if model.max_input_tokens else {}),
    }


def provider_document(provider: messages.Provider) -> dict[str, object]:
    """Write one provider; its key comes masked from the backend."""
    return {
        "name": provider.name,
        "api_base_url": provider.api_base_url,
        "api_key": provider.api_key,
        "models": list(provider.models),
        "enabled": provider.enabled,
        "transformers": [
            {"name": one.name, **({"config": orjson.loads(one.config)} if one.config else {})}
            for one in provider.transformers
        ],
        "created_at": _time(provider.created_at),
        "updated_at": _time(provider.updated_at),
        **({"message_format": provider.message_format} if provider.message_format else {}),
    }


def page(models: list[dict[str, object]], limit: int, after: str, before: str) -> dict[str, object]:
    """Cut a list as Anthropic's query parameters ask."""
    names = [model["id"] for model in models]
    if after in names:
        models = models[names.index(after) + 1 :]
        page = models[:limit]
    elif before in names:
        models = models[: names.index(before)]
        page = models[-limit:]
    else:
        page = models[:limit]
    return {
        "object": "list",
        "data": page,
        "has_more": len(page) < len(models),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }
