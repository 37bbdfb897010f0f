"""Run Claude Code against the LLM proxy, which is started for as long as somebody needs it."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from commands import proxy, session
from commands.proxy import Answer
from gateway.settings import GatewaySettings

CLIENT = "claude"
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.2
SHOWN_LINES = 10
FAILED_EXIT = 1
TAKEN_EXIT = 4
NO_CLIENT_EXIT = 127
INTERRUPTED_EXIT = 130


def main(arguments: Sequence[str]) -> int:
    """Pass every argument on to Claude Code and return its exit code.

    1: the proxy did not start. 4: another program has its port. 127: Claude Code is not installed. 130: Ctrl-C before
    Claude Code was there.
    """
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}")
        return FAILED_EXIT


def _main(arguments: Sequence[str]) -> int:
    client = shutil.which(CLIENT)
    if client is None:
        _say("Claude Code is not installed here: npm install -g @anthropic-ai/claude-code")
        return NO_CLIENT_EXIT
    told = proxy.settings()
    files = session.files(told)
    files.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with files.lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # the proxy that was started stays while anybody holds this
        if failure := _ensure(told, files.log):
            return failure
        return run(client, arguments, client_environment(os.environ, told))


def client_environment(inherited: Mapping[str, str], told: GatewaySettings) -> dict[str, str]:
    """Lay our variables over the inherited ones; a vendor's key among those is not for the proxy."""
    return {name: value for name, value in inherited.items() if name != "ANTHROPIC_API_KEY"} | proxy.environment(told)


def run(client: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Let the client have the terminal until it ends; tell its exit code as a shell would."""
    # Ctrl-C is for the client alone. A function, because what is ignored would stay ignored in the child.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with subprocess.Popen([client, *arguments], env=environment) as process:  # noqa: S603  what the user asked for
            ending = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            try:
                code = process.wait()
            finally:
                signal.signal(signal.SIGTERM, ending)
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _ensure(told: GatewaySettings, log: Path) -> int:
    """Start the proxy unless it is there, and wait until it answers; return an exit code if it does not."""
    started: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := proxy.ask(told)) is not Answer.READY:
        if found is Answer.ANOTHER:
            _say(f"{proxy.address(told)} is taken by another program")
            return TAKEN_EXIT
        if found is Answer.NOTHING and started is None:
            started = _start(log)
        ended = started is not None and started.poll() is not None
        # One more look, because another command may have started it at the same moment.
        if (ended or time.monotonic() > deadline) and proxy.ask(told) is not Answer.READY:
            _say(f"the LLM proxy did not start; {log} tells why:")
            with suppress(OSError):
                _say("\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]))
            return FAILED_EXIT
        time.sleep(POLL_SECONDS)
    return 0


def _start(log: Path) -> subprocess.Popen[bytes]:
    """Start the proxy in the background, out of reach of this terminal: another command may need it longer."""
    with log.open("wb") as output:
        log.chmod(0o600)
        return subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", session.__name__],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
