"""Print what points Claude Code, or any Anthropic client, at the LLM proxy: `eval "$(pulsegate env)"`."""

import argparse
import shlex
from collections.abc import Sequence

from commands import proxy


def main(arguments: Sequence[str]) -> int:
    """Print one line for each variable, quoted for any POSIX shell."""
    argparse.ArgumentParser(
        prog="pulsegate env",
        description='Print the variables that point Claude Code at the LLM proxy: eval "$(pulsegate env)". '
        "A configured client key is among them.",
    ).parse_args(arguments)
    for name, value in proxy.environment(proxy.settings()).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
