"""Calls that arrive while one is under way, sent together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Metadata: TypeAlias = tuple[tuple[str, str], ...]
SendMany: TypeAlias = Callable[[Sequence[Item], float, Metadata], Awaitable[Sequence[Outcome]]]


class Batched(Generic[Item, Outcome]):
    """A unary method made of one that takes many items; ``Backend.call`` takes it like a method of a stub.

    All items of one loop turn, and all that come while a call is under way, share the next call, its request id and,
    if it fails, its failure. A call costs some ten times as much as an item in it.
    """

    def __init__(self, send: SendMany[Item, Outcome], limit: int) -> None:
        self._send = send
        self._limit = limit
        self._gathering: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._last: asyncio.Task[None] | None = None

    async def __call__(self, request: Item, *, timeout: float, metadata: Metadata) -> Outcome:  # noqa: ASYNC109  as grpc's own methods
        """Answer one item; it waits for the call under way and for its own, so for twice the timeout at most."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if not self._gathering or len(self._gathering) == self._limit:
            self._gathering = [(request, answer)]
            self._last = asyncio.create_task(self._send_after(self._last, self._gathering, timeout, metadata))
        else:
            self._gathering.append((request, answer))
        return await answer

    async def _send_after(
        self,
        under_way: asyncio.Task[None] | None,
        gathered: list[tuple[Item, asyncio.Future[Outcome]]],
        timeout: float,  # noqa: ASYNC109  handed on to grpc
        metadata: Metadata,
    ) -> None:
        if under_way is not None and not under_way.done():
            await asyncio.wait([under_way])
        if self._gathering is gathered:
            self._gathering = []
        waiting = [answer for _, answer in gathered]
        try:
            outcomes = await self._send([request for request, _ in gathered], timeout, metadata)
            answered = list(zip(waiting, outcomes, strict=True))  # too few would leave somebody waiting for ever
        except Exception as error:  # noqa: BLE001  each who waits gets it
            for answer in waiting:
                if not answer.done():  # who left does not take the others along
                    answer.set_exception(error)
            return
        for answer, outcome in answered:
            if not answer.done():
                answer.set_result(outcome)
