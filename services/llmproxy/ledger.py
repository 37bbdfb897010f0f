"""The account of all requests: records are taken at once, written behind the back of whoever waits, and summed up."""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter

from runtime.health import Health
from services.llmproxy.budget import Budgets
from services.llmproxy.usage import Record, day_of
from services.llmproxy.usage_file import UsageFile, UsageFileError

COMPONENT = "llmproxy.usage"
PRUNE_SECONDS = 3600.0
REMEMBERED_SECONDS, MOST_REMEMBERED = 3600.0, 50_000
"""What a process that starts again needs to know of the time before."""
MOST_WAITING = 10_000
"""Records that wait for a disk that is full; the oldest go first."""

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Records of ``write_seconds`` are written together; a process that is killed loses no more than these."""

    write_seconds: float = 0.5
    retry_seconds: float = 5.0


class Ledger:
    """Keeps records; no request ever waits for the disk, or fails because of it.

    A disk that cannot be written is told as the health name ``llmproxy.usage``, in the log and as a metric, and tried
    again until it can.
    """

    def __init__(
        self,
        open_file: Callable[[], UsageFile],
        budgets: Budgets,
        health: Health,
        metrics: CollectorRegistry,
        pace: Pace = Pace(),
    ) -> None:
        self.budgets = budgets
        self.store_id = secrets.token_hex(8)
        self._open_file = open_file
        self._health = health
        self._pace = pace
        self._waiting: deque[Record] = deque()
        self._recorded = asyncio.Event()
        # One thread for all work on the file: nothing overlaps, also when whoever asked has left.
        self._thread = ThreadPoolExecutor(1, "usage")
        self._file: UsageFile | None = None
        self._spent: tuple[str, Mapping[str, tuple[int, int]]] = ("", {})
        self._prune_at = 0.0
        self._error = ""
        self._writing: asyncio.Task[None] | None = None
        self._failures = Counter(
            "pulsegate_llmproxy_usage_write_failures_total", "Failed writes of usage records", registry=metrics
        )
        self._lost = Counter(
            "pulsegate_llmproxy_usage_lost_records_total",
            "Usage records that were given up because they could not be written",
            registry=metrics,
        )

    async def start(self) -> Sequence[Record]:
        """Open the file, whatever comes of it, begin to write, and return the records of the last hour."""
        self._writing = asyncio.create_task(self._keep_writing(), name="write usage records")
        try:
            return await self.ask(lambda file: file.since(time.time() - REMEMBERED_SECONDS, MOST_REMEMBERED))
        except UsageFileError:
            return ()

    def record(self, record: Record) -> None:
        """Take one record; never waits."""
        self.budgets.add(record)
        while len(self._waiting) >= MOST_WAITING:
            with suppress(IndexError):  # the thread takes some too
                self._waiting.popleft()
                self._lost.inc()
        self._waiting.append(record)
        self._recorded.set()

    async def ask(self, question: Callable[[UsageFile], Answer]) -> Answer:
        """Let the file answer, everything recorded so far included; raises ``UsageFileError``."""
        return await self._on_thread(lambda: question(self._write()))

    async def close(self) -> None:
        """Write what is left and close the file."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        with suppress(UsageFileError):
            await self._on_thread(self._write)
        if self._waiting:
            log.error("usage records lost", extra={"records": len(self._waiting), "reason": self._error})
        await self._on_thread(self._close)
        self._thread.shutdown()

    async def _keep_writing(self) -> None:
        while True:
            await self._recorded.wait()
            await asyncio.sleep(self._pace.write_seconds)
            self._recorded.clear()
            try:
                await self._on_thread(self._write)
            except UsageFileError:
                self._recorded.set()
                await asyncio.sleep(self._pace.retry_seconds)

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, work)
            self.budgets.learn(*self._spent)
        except UsageFileError as error:
            self._failed(error)
            raise
        self._well()
        return answer

    def _write(self) -> UsageFile:
        """Write what waits, in one go, and return the file; what could not be written goes on waiting."""
        if self._file is None:
            self._file = self._open_file()
            self.store_id = self._file.id
        records = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            if records:
                self._file.write(records)
                records = []
            now = time.time()
            self._spent = (day_of(now), self._file.spent(now))
            if time.monotonic() > self._prune_at:
                self._file.prune(now)
                self._prune_at = time.monotonic() + PRUNE_SECONDS
        except UsageFileError:
            self._waiting.extendleft(reversed(records))
            self._close()
            raise
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _failed(self, error: UsageFileError) -> None:
        self._failures.inc()
        if str(error) != self._error:
            self._error = str(error)
            log.error("usage cannot be written", extra={"reason": self._error})
        self._health.set(COMPONENT, serving=False, error=f"usage cannot be written: {error}", required=False)

    def _well(self) -> None:
        if self._error:
            log.info("usage is written again")
        self._error = ""
        self._health.set(COMPONENT, serving=True, required=False)
