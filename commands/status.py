"""Tell once what serves and what does not."""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from commands import operator, table

NOT_SERVING_EXIT = 1
UNANSWERED_EXIT = 3


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 0 if every backend serves, 1 if one does not, 3 if the gateway does not answer."""
    parser = argparse.ArgumentParser(
        prog="pulsegate status",
        description="Tell what serves, since when, and why not.",
        epilog="Exit code: 0 every backend serves, 1 one does not, 2 wrong usage, 3 the gateway does not answer.",
    )
    operator.add_address(parser)
    parser.add_argument("--json", action="store_true", help="print the whole document as JSON")
    parser.add_argument("--all", action="store_true", help="list every replica and health name")
    told = parser.parse_args(arguments)
    try:
        document = operator.fetch(told.gateway)
    except operator.Unanswered as error:
        print(f"Error: {error}", file=sys.stderr)
        return UNANSWERED_EXIT
    if told.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        Console().print(table.rich_table(document, everything=told.all))
    else:
        print("\n".join(table.plain_lines(document, everything=told.all)))
    return 0 if table.all_serving(document) else NOT_SERVING_EXIT
