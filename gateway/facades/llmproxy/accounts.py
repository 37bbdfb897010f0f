"""What was spent, as documents: every number of several replicas added up."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

from gen.llmproxy.v1 import llmproxy_pb2 as messages

DIMENSIONS: Mapping[str, messages.UsageDimension] = {
    "day": messages.USAGE_DIMENSION_DAY,
    "provider": messages.USAGE_DIMENSION_PROVIDER,
    "model": messages.USAGE_DIMENSION_MODEL,
    "key": messages.USAGE_DIMENSION_CLIENT,
    "outcome": messages.USAGE_DIMENSION_OUTCOME,
}
FIELDS = {name: "client" if name == "key" else name for name in DIMENSIONS}
COUNTS = (
    *("requests", "failed", "estimated", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("retries", "fallbacks", "answered", "first_byte_ms", "total_ms"),
)
TOKEN_NAMES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}

Json = dict[str, Any]


def spending(statuses: Iterable[messages.LlmProxyStatus]) -> dict[str, messages.Spending]:
    """Add up what every key has spent by the latest day that any replica tells of.

    Replicas with the same store tell the same spending, so only the one who knows most counts.
    """
    told: dict[tuple[str, str, str], messages.Spending] = {}
    for status in statuses:
        for one in status.activity.spending:
            known = told.setdefault((status.activity.store_id, one.client, one.day), one)
            if one.this_month > known.this_month:
                told[status.activity.store_id, one.client, one.day] = one
    latest = max((day for _, _, day in told), default="")
    sums: dict[str, messages.Spending] = {}
    for (_, client, day), one in told.items():
        if day[:7] == latest[:7]:
            sum_of = sums.setdefault(client, messages.Spending(client=client, day=latest))
            sum_of.this_month += one.this_month
            sum_of.today += one.today if day == latest else 0
    return sums


def budgets_document(statuses: Sequence[messages.LlmProxyStatus]) -> list[Json]:
    """Write what is left to every key that has spent something, where there is a budget."""
    limits = [status.activity.budget for status in statuses]
    per_day = max((one.tokens_per_day for one in limits), default=0)
    per_month = max((one.tokens_per_month for one in limits), default=0)
    return [
        {
            "key": one.client,
            "window": window,
            "limit_tokens": limit,
            "spent_tokens": spent,
            "remaining_tokens": max(0, limit - spent),
        }
        for one in spending(statuses).values()
        for window, limit, spent in (("day", per_day, one.today), ("month", per_month, one.this_month))
        if limit
    ]


def usage_document(
    asked: messages.GetUsageRequest, answers: Sequence[messages.GetUsageResponse], silent: Sequence[str]
) -> Json:
    """Write the sums of a window: of everything in it, and of each combination of what was asked for."""
    by = [name for name in DIMENSIONS if DIMENSIONS[name] in asked.by]
    by.sort(key=lambda name: list(asked.by).index(DIMENSIONS[name]))
    total = dict.fromkeys(COUNTS, 0.0)
    merged: dict[tuple[str, ...], dict[str, float]] = {}
    for answer in answers:
        _add(total, answer.total)
        for row in answer.rows:
            values = tuple(getattr(row, FIELDS[name]) for name in by)
            _add(merged.setdefault(values, dict.fromkeys(COUNTS, 0.0)), row.sums)
    rows = [dict(zip(by, values, strict=True)) | _sums(merged[values]) for values in sorted(merged)[: asked.limit]]
    return {
        "from": asked.first_day,
        "to": asked.last_day,
        "totals": _sums(total),
        **({"by": by, "rows": rows} if by else {}),
        "truncated": len(merged) > asked.limit or any(answer.truncated for answer in answers),
        **_incomplete(silent),
    }


def requests_document(limit: int, answers: Sequence[messages.ListRequestsResponse], silent: Sequence[str]) -> Json:
    """Write the latest requests, newest first."""
    records = [record for answer in answers for record in answer.records]
    records.sort(key=lambda record: record.ended_at.ToNanoseconds(), reverse=True)
    return {"requests": [_record(record) for record in records[:limit]], **_incomplete(silent)}


def _add(sums: dict[str, float], more: messages.UsageSums) -> None:
    for name in COUNTS:
        sums[name] += getattr(more, name)


def _sums(sums: Mapping[str, float]) -> Json:
    return {
        "requests": int(sums["requests"]),
        "failed": int(sums["failed"]),
        **{told: int(sums[name]) for name, told in TOKEN_NAMES.items()},
        "estimated_requests": int(sums["estimated"]),
        "retries": int(sums["retries"]),
        "fallbacks": int(sums["fallbacks"]),
        "average_first_byte_ms": _average(sums["first_byte_ms"], sums["answered"]),
        "average_total_ms": _average(sums["total_ms"], sums["requests"]),
    }


def _record(record: messages.RequestRecord) -> Json:
    return {
        "time": record.ended_at.ToDatetime(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "key": record.client,
        "provider": record.provider,
        "asked_model": record.asked_model,
        "model": record.model,
        "outcome": record.outcome,
        **{told: getattr(record, name) for name, told in TOKEN_NAMES.items()},
        "estimated": record.estimated,
        "retries": record.retries,
        "fallbacks": record.fallbacks,
        "first_byte_ms": round(record.first_byte_ms, 1) if record.HasField("first_byte_ms") else None,
        "total_ms": round(record.total_ms, 1),
    }


def _average(total: float, count: float) -> float | None:
    return round(total / count, 1) if count else None


def _incomplete(silent: Iterable[str]) -> Json:
    """Name the replicas whose share is missing."""
    missing = list(silent)
    return {"missing_replicas": missing} if missing else {}
