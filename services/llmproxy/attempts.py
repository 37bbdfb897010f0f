"""One request on its way through its targets until one of them begins to answer."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from time import monotonic

from services.llmproxy.answers import Call, Head, Pieces
from services.llmproxy.catalog import Entry
from services.llmproxy.messages import AnswerError
from services.llmproxy.resilience import Outcome, in_order

log = logging.getLogger(__name__)


class Attempts:
    """Asks targets in order and counts how often it did again; ``entry`` and ``model`` are what is being asked.

    Only what fails before its first byte is tried again: nobody is told half of one answer and half of another.
    """

    def __init__(
        self, targets: Sequence[tuple[Entry, Call]], retries: int, tried_on: Callable[[str, int], None], *, breaks: bool
    ) -> None:
        now = monotonic()
        fit = {name: entry.breaker.fits(now) for name, entry in {_name(one): one[0] for one in targets}.items()}
        self._targets = deque(in_order(targets, lambda one: fit[_name(one)]) if breaks else targets)
        self._retries = retries
        self._tried_on = tried_on
        self._retry = 0
        self._wait: float | None = None
        self._begun = False
        self.entry, call = self._targets[0]
        self.model = call.model
        self.retries = 0
        self.fallbacks = 0

    async def stream(self) -> AsyncGenerator[Head | Pieces, None]:
        """Yield the first answer that begins well, or the failure of the last target."""
        while True:
            self.entry, call = self._targets[0]
            self.model = call.model
            async with aclosing(self._once(call)) as answer:
                async for part in answer:
                    yield part
            if self._begun:
                return
            if self._wait is not None:
                self._retry += 1
                self.retries += 1
                await asyncio.sleep(self._wait)
                continue
            before = self._targets.popleft()
            self._retry = 0
            if _asked(before) == _asked(self._targets[0]):  # with another key
                self.retries += 1
            else:
                self.fallbacks += 1

    async def _once(self, call: Call) -> AsyncGenerator[Head | Pieces, None]:
        """Yield one answer, and nothing at all when it failed and something is left to try."""
        try:
            async with aclosing(self.entry.provider.stream(call)) as answer:
                async for part in answer:
                    if isinstance(part, Head) and self._goes_on(Outcome.of(part.status, part.headers)):
                        return
                    self._begun = True
                    yield part
        except AnswerError as error:
            if self._begun or not self._goes_on(Outcome.of(error.status, error.headers)):
                raise

    def _goes_on(self, outcome: Outcome) -> bool:
        """Record how a target began, and tell whether something is left to try because it failed."""
        now, breaker, (_, call) = monotonic(), self.entry.breaker, self._targets[0]
        self.entry.keyring.told(call.key, outcome, now)
        if outcome.refuses_key:
            self.entry.refused()
        if outcome.blames_target:
            breaker.failed(now)
        else:
            breaker.succeeded()
        embedded = self.entry.configured.message_format == "local"  # a moment does not heal what fails in here
        chance = random.random()  # noqa: S311  spreads retries, hides nothing
        self._wait = None if embedded or self._retry >= self._retries else outcome.wait_seconds(self._retry, chance)
        if self._wait is None and not outcome.blames_key:
            self._leave_out_other_keys()
        if self._wait is None and not (outcome.passes_on and len(self._targets) > 1):
            return False
        log.info(
            "provider failed before its first byte",
            extra={"provider": self.entry.configured.name, "status": outcome.status, "again": self._wait is not None},
        )
        self._tried_on(self.entry.configured.name, outcome.status)
        return True

    def _leave_out_other_keys(self) -> None:
        """Do not ask the same model again with another key, which is not what it failed for."""
        first, *others = self._targets
        self._targets = deque([first, *(one for one in others if _asked(one) != _asked(first))])


def _name(target: tuple[Entry, Call]) -> str:
    return target[0].configured.name


def _asked(target: tuple[Entry, Call]) -> tuple[str, str]:
    return _name(target), target[1].model
