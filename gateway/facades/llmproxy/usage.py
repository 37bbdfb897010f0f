"""The routes that tell who spent what: sums over days, and the latest requests."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from gateway.backend import Backend
from gateway.describe import describe
from gateway.errors import BackendError
from gateway.facades.llmproxy.accounts import DIMENSIONS, budgets_document, requests_document, usage_document
from gateway.facades.llmproxy.errors import json_response
from gen.llmproxy.v1 import llmproxy_pb2 as messages

SECONDS = 10.0
DEFAULT_DAYS = 30
MOST_ROWS = 10_000
DEFAULT_ROWS, DEFAULT_REQUESTS = 1000, 50
MOST_REQUESTS = 1000
EARLIEST = date.min + timedelta(days=DEFAULT_DAYS - 1)
FILTERS = {"provider": "provider", "model": "model", "key": "client", "outcome": "outcome"}


def add_routes(blueprint: Blueprint, backend: Backend[Any]) -> None:
    """Add the routes to the façade."""

    @blueprint.get("/usage")
    @describe(
        {200: "Usage", 400: "Error", 401: "Error", 403: "Error", 503: "Error"},
        query={
            "from": f"First day, such as 2026-11-01; {DEFAULT_DAYS} days up to the last one if left out.",
            "to": "Last day, in UTC as all are; today if left out.",
            "by": "What to group by, by comma: day, provider, model, key, outcome.",
            "limit": f"At most so many rows, 1 to {MOST_ROWS}.",
            "provider": "Only of this provider.",
            "model": "Only of this model.",
            "key": "Only of this key.",
            "outcome": "Only of this outcome.",
        },
    )
    def usage() -> Response:
        """Sum up what was spent: `?from=&to=&by=day,provider,model,key,outcome`, or of one value only."""
        asked = read_usage(request.args, datetime.now(UTC).date())
        answers, silent = _ask_each(backend, "GetUsage", asked)
        budgets = budgets_document(backend.picture.statuses())
        return json_response(usage_document(asked, answers, silent) | ({"budgets": budgets} if budgets else {}))

    @blueprint.get("/usage/requests")
    @describe(
        {200: "LatestRequests", 400: "Error", 401: "Error", 403: "Error", 503: "Error"},
        query={"limit": f"At most so many, 1 to {MOST_REQUESTS}."},
    )
    def latest_requests() -> Response:
        """List the latest requests, newest first."""
        _require_known(request.args, {"limit"})
        limit = _limit(request.args, DEFAULT_REQUESTS, MOST_REQUESTS)
        answers, silent = _ask_each(backend, "ListRequests", messages.ListRequestsRequest(limit=limit))
        return json_response(requests_document(limit, answers, silent))


def read_usage(arguments: MultiDict[str, str], today: date) -> messages.GetUsageRequest:
    """Read the query of a request for sums; whatever is wrong with it is a 400 that names it."""
    _require_known(arguments, {"from", "to", "by", "limit", *FILTERS})
    last = _day(arguments, "to", today)
    if last < EARLIEST:
        raise BadRequest(f"to: must be {EARLIEST} or later")
    first = _day(arguments, "from", last - timedelta(days=DEFAULT_DAYS - 1))
    if first > last:
        raise BadRequest(f"from: {first} is after {last}")
    names = [name.strip() for name in arguments.get("by", "").split(",") if name.strip()]
    for name in names:
        if name not in DIMENSIONS:
            raise BadRequest(f"by: unknown '{name}'; known are {', '.join(DIMENSIONS)}")
    return messages.GetUsageRequest(
        first_day=first.isoformat(),
        last_day=last.isoformat(),
        by=[DIMENSIONS[name] for name in dict.fromkeys(names)],
        limit=_limit(arguments, DEFAULT_ROWS, MOST_ROWS),
        **{field: arguments[name] for name, field in FILTERS.items() if arguments.get(name)},
    )


def _require_known(arguments: MultiDict[str, str], known: set[str]) -> None:
    for name in arguments:
        if name not in known:
            raise BadRequest(f"{name}: unknown parameter; known are {', '.join(sorted(known))}")


def _day(arguments: MultiDict[str, str], name: str, otherwise: date) -> date:
    text = arguments.get(name)
    if text is None:
        return otherwise
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name}: must be a day such as 2026-11-22") from None


def _limit(arguments: MultiDict[str, str], otherwise: int, most: int) -> int:
    text = arguments.get("limit", str(otherwise))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise BadRequest(f"limit: must be between 1 and {most}")
    return int(text)


def _ask_each(backend: Backend[Any], method: str, asked: object) -> tuple[list[Any], list[str]]:
    """Ask every replica, since each knows what it answered itself; return one answer of each store, and who failed."""
    told = backend.call_each(method, asked, SECONDS)
    stores: dict[str, Any] = {}
    failures: dict[str, BackendError] = {}
    for address, answer in told.items():
        if isinstance(answer, BackendError):
            failures[address] = answer
        else:
            stores.setdefault(answer.store_id, answer)
    if failures and not stores:
        worst = next(iter(failures.values()))
        if worst.code is grpc.StatusCode.FAILED_PRECONDITION:
            raise ServiceUnavailable(worst.details)
        raise worst
    return list(stores.values()), sorted(failures)
