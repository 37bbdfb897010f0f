"""What may be left behind: descriptors, tasks and threads of this process."""

import asyncio
import threading
from pathlib import Path
from types import CoroutineType


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def new_tasks(before):
    """Tell the tasks that were not there before; gRPC's own, which come and go, are not written in Python."""
    return {task for task in asyncio.all_tasks() - before if isinstance(task.get_coro(), CoroutineType)}


def own_threads():
    """Count the threads that somebody started for a purpose; the loop's pool grows to its size and stays."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())
