"""A process that records and is killed: python -m … <folder>, footage pickled on standard input."""

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from services.media.recording.folder import Keep, RecordFolder
from services.media.recording.recorder import Recorder


async def main():
    publisher = SimpleNamespace(publisher="abc", label="live", kinds=("video", "audio"), want_key=lambda: True)
    recorder = Recorder(RecordFolder(Path(sys.argv[1]), Keep()), publisher, lambda _: None)
    for unit in pickle.load(sys.stdin.buffer):
        recorder.push(unit)
    while recorder.waiting_bytes:
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main())
