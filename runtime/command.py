"""The command `pulsegate`: run the product or one process of it, or ask how it is."""

import importlib
import importlib.util
import os
import runpy
import sys

USAGE = """\
usage: pulsegate PROCESS [--flag VALUE ...]   run the gateway or one backend; --help lists its settings
       pulsegate media --doctor | --version    tell the preflight report without a start, or the version
       pulsegate run                           run everything on this machine
       pulsegate status [--json]               tell what serves, since when, and why not
       pulsegate watch                         the same, live
       pulsegate doctor                        tell what every process would be told here, and what is wrong
       pulsegate code [ARGUMENT ...]           run Claude Code against the LLM proxy, started if it is not there
       pulsegate env                           print what points Claude Code at it: eval "$(pulsegate env)"
       pulsegate healthcheck -addr HOST:PORT   ask a gRPC server for its health once; -h lists the flags
"""
COMMANDS = {
    "run": "commands.run",
    "status": "commands.status",
    "watch": "commands.watch",
    "doctor": "commands.doctor",
    "code": "commands.code",
    "env": "commands.env",
    "healthcheck": "runtime.healthcheck",
}

# Flags and the variable of the originals that tell something instead of starting the process that stands in for it.
TELLING = {"media": ("commands.icey", {"--doctor", "--version"}, "ICEY_DOCTOR")}

_YES = {"1", "true", "yes", "on"}


def main() -> int:
    """Run what the first word names; only that is imported, since a health check is started often."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name in TELLING:
        teller, flags, variable = TELLING[name]
        if flags.intersection(arguments) or os.environ.get(variable, "").lower() in _YES:
            return int(importlib.import_module(teller).main(arguments))
    if name in COMMANDS:
        return int(importlib.import_module(COMMANDS[name]).main(arguments))
    module = _process(name)
    if module is None:
        wrong = "" if name in ("", "-h", "--help") else f"Error: there is no process {name!r}\n"
        sys.stderr.write(wrong + USAGE)
        return 2 if wrong or not name else 0
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _process(name: str) -> str | None:
    module = name if name == "gateway" else f"services.{name}"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        return None
    return module
