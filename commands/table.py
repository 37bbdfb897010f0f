"""The document of the operator's port as a person reads it: rows for a terminal, lines for a pipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

Json = dict[str, Any]

WORDS = {"serving": "serving", "not_serving": "not serving", "unreachable": "unreachable", "unknown": "unknown"}
STATES = {"SERVING": "serving", "NOT_SERVING": "not_serving"}
STYLES = {"serving": "green", "not_serving": "bold red", "unreachable": "bold red", "unknown": "dim"}
MARKS = {"serving": "✓", "not_serving": "✕", "unreachable": "✕", "unknown": "·"}
COLUMNS = ("BACKEND", "STATE", "FOR", "SINCE", "VERSION", "UP", "CHECK", "REQUESTS", "NOTES")


@dataclass(frozen=True)
class Row:
    """One backend, replica or health name; ``depth`` says which of the three."""

    depth: int
    name: str
    state: str
    cells: tuple[str, ...]


def all_serving(document: Json) -> bool:
    """Tell whether every backend serves."""
    return all(backend["state"] == "serving" for backend in document["backends"])


def rows(document: Json, *, everything: bool) -> Iterator[Row]:
    """Yield a row per backend and, below it, one for each replica and health name that does not serve, or for all."""
    now = document["time"]
    for backend in document["backends"]:
        yield _backend(backend, now)
        several = len(backend["replicas"]) > 1
        for replica in backend["replicas"]:
            if everything or (several and replica["state"] != "serving"):
                yield Row(1, replica["address"], replica["state"], _replica(replica, now))
            for name in replica["health"]:
                state = STATES.get(name["status"], "unknown")
                if everything or (state == "not_serving" and backend["state"] == "serving"):
                    yield Row(2, name["name"] or '""', state, _name(name, state, now))


def rich_table(document: Json, *, everything: bool) -> Table:
    """Draw the rows for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, no_wrap=column != "NOTES", overflow="fold")
    for row in rows(document, everything=everything):
        style = STYLES[row.state]
        name = Text("  " * row.depth + row.name, style="bold" if row.depth == 0 else "")
        state = Text(f"{MARKS[row.state]} {WORDS[row.state]}", style=style)
        notes = Text(row.cells[-1], style="red" if row.state in {"not_serving", "unreachable"} else "dim")
        table.add_row(name, state, *row.cells[:-1], notes)
    return table


def plain_lines(document: Json, *, everything: bool) -> Iterator[str]:
    """Write the rows as aligned columns without colour or width limit."""
    listed = [
        ("  " * row.depth + row.name, WORDS[row.state], *row.cells) for row in rows(document, everything=everything)
    ]
    widths = [max(len(row[column]) for row in [COLUMNS, *listed]) for column in range(len(COLUMNS))]
    for row in [COLUMNS, *listed]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def lasting(start: str | None, end: str) -> str:
    """Tell the time between two moments as a person says it."""
    if start is None:
        return ""
    seconds = max(0, int((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60}min"
    return f"{minutes}min {seconds % 60}s" if minutes else f"{seconds}s"


def _backend(backend: Json, now: str) -> Row:
    replicas = backend["replicas"]
    alone = replicas[0] if len(replicas) == 1 else {}
    serving = sum(replica["state"] == "serving" for replica in replicas)
    facts = {} if alone else {"replicas serving": f"{serving} of {len(replicas)}"}
    facts |= alone.get("facts", {})
    requests = backend["requests"]
    cells = (
        lasting(backend["since"], now),
        _clock(backend["since"], now),
        *_process(alone, now),
        f"{requests['total']}" + (f" ({requests['failed']} failed)" if requests["failed"] else ""),
        backend["reason"] or ", ".join(f"{name} {value}" for name, value in facts.items()),
    )
    return Row(0, backend["name"], backend["state"], cells)


def _replica(replica: Json, now: str) -> tuple[str, ...]:
    facts = ", ".join(f"{name} {value}" for name, value in replica["facts"].items())
    notes = facts if replica["reachable"] else replica["lastError"]
    return (lasting(replica["since"], now), _clock(replica["since"], now), *_process(replica, now), "", notes)


def _name(name: Json, state: str, now: str) -> tuple[str, ...]:
    error = name["lastError"]
    notes = error if state != "serving" or not error else f"last error: {error}"
    return (lasting(name["since"], now), _clock(name["since"], now), "", "", "", "", notes)


def _process(replica: Json, now: str) -> tuple[str, str, str]:
    check = replica.get("checkMs")
    answering = check is not None and replica["reachable"]
    return (
        replica.get("version") or "",
        lasting(replica.get("startedAt"), now),
        f"{check:.1f} ms" if answering else "",
    )


def _clock(moment: str, now: str) -> str:
    """Write a moment in local time, with its date unless that is today's."""
    local, today = datetime.fromisoformat(moment).astimezone(), datetime.fromisoformat(now).astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M:%S")
