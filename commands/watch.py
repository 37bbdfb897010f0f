"""Keep telling what serves and what does not, as it changes."""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from commands import operator, table

RETRY_SECONDS = 1.0
MOST_CHANGES = 12

Json = dict[str, Any]


class Changes:
    """Finds what changed from one document to the next, each change as one line."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def of(self, document: Json) -> Iterator[str]:
        """Yield a line for each backend that is another than before, and for each part that was heard of both times."""
        states, path = {}, [""] * 3
        for row in table.rows(document, everything=True):
            path[row.depth :] = [row.name]
            name = " ".join(path)
            states[name] = row.state
            before = self._states.get(name)
            heard = row.depth == 0 or not {before, row.state} & {None, "unknown", "unreachable"}
            if before != row.state and heard:
                notes = f": {row.cells[-1]}" if row.state in {"not_serving", "unreachable"} and row.cells[-1] else ""
                yield f"{document['time']}  {name} {table.WORDS[row.state]}{notes}"
        self._states = states


def main(arguments: Sequence[str]) -> int:
    """Show the live table on a terminal, one line per change in a pipe, until interrupted."""
    parser = argparse.ArgumentParser(prog="pulsegate watch", description="Tell what serves, live, until Ctrl-C.")
    operator.add_address(parser)
    parser.add_argument("--all", action="store_true", help="show every replica and health name")
    told = parser.parse_args(arguments)
    try:
        if sys.stdout.isatty():
            _draw(told.gateway, everything=told.all)
        else:
            _write(told.gateway)
    except KeyboardInterrupt:
        pass
    return 0


def _write(url: str) -> None:
    changes, lost = Changes(), ""
    for document, error in _documents(url):
        if document is not None:
            lost = ""
            for change in changes.of(document):
                print(change, flush=True)
        elif error != lost:
            lost = error
            print(f"{datetime.now(UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')}  {error}", flush=True)


def _draw(url: str, *, everything: bool) -> None:
    changes, latest = Changes(), deque[str](maxlen=MOST_CHANGES)
    shown: Json | None = None
    with Live(console=Console(), auto_refresh=False, screen=True) as live:
        for document, error in _documents(url):
            if document is not None:
                shown = document
                latest.extend(changes.of(document))
            parts: list[RenderableType] = [Text(error, style="bold red")] if error else []
            if shown is not None:
                parts.append(table.rich_table(shown, everything=everything))
            parts += [Text(), *(Text(change, style="dim", overflow="ellipsis", no_wrap=True) for change in latest)]
            live.update(Group(*parts), refresh=True)


def _documents(url: str) -> Iterator[tuple[Json | None, str]]:
    """Yield each document, or why there is none, for ever."""
    while True:
        try:
            for document in operator.follow(url):
                yield document, ""
        except operator.Unanswered as error:
            yield None, str(error)
        time.sleep(RETRY_SECONDS)
