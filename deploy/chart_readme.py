"""Write the table of the chart's README from its values: each key with its default and the comment above it."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).with_name("helm")
HEADING = "## Values\n"
KEY = re.compile(r"( *)([A-Za-z][\w-]*):(?: (.*))?$")


@dataclass(frozen=True)
class Parameter:
    """One key a user may set."""

    path: tuple[str, ...]
    default: Any
    description: str
    group: bool = False

    def row(self) -> str:
        """Render a line of the table."""
        default = "" if self.group else f"`{json.dumps(self.default)}`"
        return f"| `{'.'.join(self.path)}` | {_cell(default)} | {_cell(self.description)} |"


def parameters(text: str) -> Iterator[Parameter]:
    """Yield every described key, in the order of the file; one with described keys below it is a group."""
    described = list(_described(text))
    values = yaml.safe_load(text)
    for path, description in described:
        default = values
        for part in path:
            default = default[part]
        below = [other for other, _ in described if other[: len(path)] == path and other != path]
        yield Parameter(path, default, description, group=bool(below))
        if not below:
            continue
        if missing := [part for part in default if not any(other[len(path)] == part for other in below)]:
            raise SystemExit(f"values.yaml: no comment above {'.'.join(path)}.{missing[0]}")


def _described(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    stack: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip()[1:].strip())
            continue
        if found := KEY.match(line):
            indent = len(found[1])
            stack = [(depth, key) for depth, key in stack if depth < indent] + [(indent, found[2])]
            if comment:
                yield tuple(key for _, key in stack), " ".join(comment)
        comment = []


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def table(values: Path = CHART / "values.yaml") -> str:
    """Render the whole table."""
    rows = [parameter.row() for parameter in parameters(values.read_text())]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def page(readme: str) -> str:
    """Return the README with its table renewed; the table is its last part."""
    return f"{readme.partition(HEADING)[0]}{HEADING}\n{table()}"


if __name__ == "__main__":
    readme = CHART / "README.md"
    readme.write_text(page(readme.read_text()))
    sys.stdout.write(f"{readme} is up to date\n")
