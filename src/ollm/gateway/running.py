"""Requests under way, and those that are cut because their caller may not go on: a key that was revoked stops its open streams, too.

A request is in it from its authentication until its settlement begins: what is being recorded is over, and left alone.
"""

import asyncio
from collections.abc import Callable

from ollm.errors import ApiError
from ollm.gateway.caller import Caller

SWEEP_SECONDS = 1.0  # and the keyring looks twice a second: a stream ends within 2 s of its key


class Running:
    """All of them, by the stem of their ids. Used on one event loop."""

    __slots__ = ("_cut", "_runs")

    def __init__(self) -> None:
        self._runs: dict[str, tuple[Caller, asyncio.Task[object]]] = {}
        self._cut: set[str] = set()

    def __len__(self) -> int:
        return len(self._runs)

    def enter(self, stem: str, caller: Caller) -> None:
        """The running task serves `caller` from here on."""
        task = asyncio.current_task()
        if task is not None:
            self._runs[stem] = (caller, task)

    def leave(self, stem: str) -> None:
        """The request is over, or about to be recorded: it is not cut any more. Whether it was stays known until `forget`."""
        self._runs.pop(stem, None)

    def forget(self, stem: str) -> None:
        """The request's task ends."""
        self._runs.pop(stem, None)
        self._cut.discard(stem)

    def was_cut(self, stem: str) -> bool:
        return stem in self._cut

    def sweep(self, stands: Callable[[Caller], bool]) -> int:
        """Cut the requests of callers that don't stand any more; says how many."""
        fallen = [(stem, task) for stem, (caller, task) in self._runs.items() if not stands(caller)]
        for stem, task in fallen:
            del self._runs[stem]
            self._cut.add(stem)
            task.cancel()
        return len(fallen)

    async def watch(self, stands: Callable[[Caller], bool]) -> None:
        """Sweep for as long as the task that runs it lives."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(stands)


def uncancel() -> None:
    """The running task goes on for the moment that its last words take."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def key_revoked() -> ApiError:
    """401 for a request that was cut."""
    message = "The API key was revoked, disabled or archived, or its time ended, while this request was served. The request was stopped."
    return ApiError(401, "invalid_request_error", "key_revoked", message)
