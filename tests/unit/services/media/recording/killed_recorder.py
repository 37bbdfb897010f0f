"""A process that records and is killed: python -m … <folder>, footage pickled on standard input."""

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path

from services.media.recording.folder import Limits, RecordFolder
from services.media.recording.recorder import Recorder


async def main() -> None:
    recorder = Recorder(RecordFolder(Path(sys.argv[1]), Limits()), "live", ("video", "audio"), lambda: None)
    for unit in pickle.load(sys.stdin.buffer):
        recorder.push(unit)
    while recorder.waiting_bytes:
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main())
