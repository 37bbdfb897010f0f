"""Usage in the words of the contract."""

from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from gen.llmproxy.v1 import llmproxy_pb2 as pb
from services.llmproxy.usage import Dimension, Record, Sums, Window
from services.llmproxy.usage_file import UsageFile

MOST_ROWS = 10_000

_DIMENSIONS: dict[pb.UsageDimension, Dimension] = {
    pb.USAGE_DIMENSION_DAY: "day",
    pb.USAGE_DIMENSION_PROVIDER: "provider",
    pb.USAGE_DIMENSION_MODEL: "model",
    pb.USAGE_DIMENSION_CLIENT: "client",
    pb.USAGE_DIMENSION_OUTCOME: "outcome",
}


def usage(file: UsageFile, asked: pb.GetUsageRequest) -> pb.GetUsageResponse:
    """Sum up what was asked for."""
    by = [_DIMENSIONS[one] for one in dict.fromkeys(asked.by) if one in _DIMENSIONS]
    filters: dict[Dimension, str] = {
        "provider": asked.provider,
        "model": asked.model,
        "client": asked.client,
        "outcome": asked.outcome,
    }
    window = Window(asked.first_day, asked.last_day, {name: value for name, value in filters.items() if value})
    limit = min(asked.limit or MOST_ROWS, MOST_ROWS)
    rows = file.sums(window, by, limit + 1)
    total = file.sums(window, (), 1)
    return pb.GetUsageResponse(
        store_id=file.id,
        rows=[_row(by, values, sums) for values, sums in rows[:limit]],
        truncated=len(rows) > limit,
        total=_sums(total[0][1]) if total else pb.UsageSums(),
    )


def requests(file: UsageFile, limit: int) -> pb.ListRequestsResponse:
    """List the latest records."""
    records = file.latest(min(limit or MOST_ROWS, MOST_ROWS))
    return pb.ListRequestsResponse(store_id=file.id, records=_told(records))


def _row(by: Sequence[Dimension], values: Sequence[str], sums: Sums) -> pb.UsageRow:
    return pb.UsageRow(**dict(zip(by, values, strict=True)), sums=_sums(sums))


def _sums(sums: Sums) -> pb.UsageSums:
    return pb.UsageSums(
        requests=sums.requests,
        failed=sums.failed,
        estimated=sums.estimated,
        input_tokens=sums.input,
        output_tokens=sums.output,
        cache_read_tokens=sums.cache_read,
        cache_write_tokens=sums.cache_write,
        retries=sums.retries,
        fallbacks=sums.fallbacks,
        answered=sums.answered,
        first_byte_ms=sums.first_byte_ms,
        total_ms=sums.total_ms,
    )


def _told(records: Iterable[Record]) -> Iterable[pb.RequestRecord]:
    for record in records:
        ended_at = Timestamp()
        ended_at.FromMicroseconds(int(record.ended_at * 1e6))
        first = record.first_byte_seconds
        yield pb.RequestRecord(
            ended_at=ended_at,
            client=record.client,
            provider=record.provider,
            asked_model=record.asked_model,
            model=record.model,
            outcome=record.outcome,
            input_tokens=record.tokens.input,
            output_tokens=record.tokens.output,
            cache_read_tokens=record.tokens.cache_read,
            cache_write_tokens=record.tokens.cache_write,
            estimated=record.estimated,
            retries=record.retries,
            fallbacks=record.fallbacks,
            first_byte_ms=None if first is None else first * 1000,
            total_ms=record.seconds * 1000,
        )
