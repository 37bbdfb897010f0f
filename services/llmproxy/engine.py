"""The child process that runs the embedded model; it says ``ready`` on its output and ends with its input.

Started by file name, so it imports nothing of ours. The model is served over HTTP on a Unix socket in a folder that
only this user can enter.
"""

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    """Load the model, say so, and serve until the parent is gone, however it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    asked = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(asked.model)
    params.hostnames = [str(asked.socket)]
    params.n_ctx = asked.context
    params.n_parallel = asked.slots
    # More threads than free cores spin against each other; both settings must agree.
    params.cpuparams.n_threads = asked.threads
    params.cpuparams_batch.n_threads = asked.threads
    params.warmup = False
    params.verbosity = -1
    params.cache_ram_mib = 0
    params.ui = False
    params.endpoint_slots = False
    server = xllamacpp.Server(params)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    del server
    os._exit(0)


if __name__ == "__main__":
    main()
