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
        self._gathering: list[Item] = []
        self._answers: asyncio.Task[Sequence[Outcome]] | None = None

    async def __call__(self, request: Item, *, timeout: float, metadata: Metadata) -> Outcome:  # noqa: ASYNC109  as grpc's own methods
        """Answer one item; it waits for the call under way and for its own, so for twice the timeout at most."""
        if self._answers is None or not self._gathering or len(self._gathering) == self._limit:
            self._gathering = []
            after = self._answers
            self._answers = asyncio.create_task(self._send_after(after, self._gathering, timeout, metadata))
        place = len(self._gathering)
        self._gathering.append(request)
        answers = await asyncio.shield(self._answers)  # who leaves does not take the others along
        return answers[place]

    async def _send_after(
        self,
        under_way: "asyncio.Task[Sequence[Outcome]] | None",
        items: list[Item],
        timeout: float,  # noqa: ASYNC109  handed on to grpc
        metadata: Metadata,
    ) -> Sequence[Outcome]:
        if under_way is not None:
            await asyncio.wait([under_way])
        if self._gathering is items:
            self._gathering = []
        return await self._send(items, timeout, metadata)
