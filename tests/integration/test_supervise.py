import asyncio
import os
import signal
import sys

from commands.supervise import supervise

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
POLITE = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()",
]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()",
]


async def nothing():
    await asyncio.Event().wait()


async def interrupt_when(capsys, text):
    said = ""
    async with asyncio.timeout(20):
        while text not in said:
            await asyncio.sleep(0.02)
            said += capsys.readouterr().out
    os.kill(os.getpid(), signal.SIGINT)


async def test_an_interrupt_stops_everything_cleanly(capsys):
    code = await supervise({"one": POLITE}, lambda: interrupt_when(capsys, "one | up"))
    assert code == 0
    assert capsys.readouterr().out == "everything is stopped\n"


async def test_a_process_that_ends_by_itself_is_named_and_stops_the_others(capsys):
    failing = [sys.executable, "-c", "import sys; sys.exit('Error: the port is taken') or 4"]
    assert await supervise({"good": POLITE, "bad": failing}, nothing) == 1
    said = capsys.readouterr().out
    assert "bad  | Error: the port is taken\n" in said
    assert "bad ended by itself with exit code 1\neverything is stopped\n" in said


async def test_even_a_clean_end_nobody_asked_for_is_a_failure():
    assert await supervise({"good": POLITE, "gone": [sys.executable, "-c", ""]}, nothing) == 1


async def test_the_exit_code_of_the_first_to_end_is_handed_on():
    assert await supervise({"bad": [sys.executable, "-c", "raise SystemExit(4)"], "good": POLITE}, nothing) == 4


async def test_a_process_that_does_not_listen_is_killed_and_named(capsys):
    code = await supervise({"deaf": STUBBORN}, lambda: interrupt_when(capsys, "deaf | up"), stop_seconds=0.2)
    assert code == 128 + signal.SIGKILL
    assert "deaf did not end within 0.2 s\ndeaf ended with exit code 137\n" in capsys.readouterr().out
