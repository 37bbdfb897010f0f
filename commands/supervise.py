"""Keep several processes running together: they start as one, speak through one terminal and end as one."""

import asyncio
import signal
import sys
from asyncio import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

STOP_SECONDS = 15.0  # longer than a process of ours drains by its own settings
LONGEST_LINE = 2**20


async def supervise(
    commands: Mapping[str, Sequence[str]], meanwhile: Callable[[], Awaitable[None]], stop_seconds: float = STOP_SECONDS
) -> int:
    """Run commands until SIGINT, SIGTERM or the end of one of them, then stop the others; return an exit code.

    It is 0 only if somebody asked for the end and every process came to it in time, by itself or by the signal.
    """
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    children = {name: await _start(command) for name, command in commands.items()}
    width = max(map(len, children))
    ends = {name: asyncio.create_task(_follow(f"{name:{width}} | ", child)) for name, child in children.items()}
    asking, aside = asyncio.create_task(asked.wait()), asyncio.ensure_future(meanwhile())
    await asyncio.wait([asking, *ends.values()], return_when=asyncio.FIRST_COMPLETED)
    asking.cancel()
    aside.cancel()
    early = [] if asked.is_set() else [name for name, end in ends.items() if end.done()]
    await _stop(children, ends, stop_seconds)
    codes = {name: end.result() for name, end in ends.items()}
    failed = early or [name for name, code in codes.items() if code not in (0, 128 + signal.SIGTERM)]
    for name in failed:
        say(f"{name} ended {'by itself ' if early else ''}with exit code {codes[name]}")
    say("everything is stopped")
    return (codes[failed[0]] or 1) if failed else 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)


async def _start(command: Sequence[str]) -> subprocess.Process:
    """Start a process out of reach of the terminal's Ctrl-C, so that there is one way to stop it."""
    return await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, limit=LONGEST_LINE
    )


async def _follow(prefix: str, child: subprocess.Process) -> int:
    """Print what a process writes until it ends; return its exit code as a shell would."""
    async for line in cast("asyncio.StreamReader", child.stdout):
        sys.stdout.write(prefix + line.decode(errors="replace"))
        sys.stdout.flush()
    code = await child.wait()
    return code if code >= 0 else 128 - code


async def _stop(
    children: Mapping[str, subprocess.Process], ends: Mapping[str, asyncio.Task[int]], stop_seconds: float
) -> None:
    """Ask every process to end, and end those that have not done so in time."""
    for child in children.values():
        if child.returncode is None:
            child.terminate()
    await asyncio.wait(ends.values(), timeout=stop_seconds)
    for name, end in ends.items():
        if not end.done():
            say(f"{name} did not end within {stop_seconds:g} s")
            children[name].kill()
    await asyncio.wait(ends.values())
