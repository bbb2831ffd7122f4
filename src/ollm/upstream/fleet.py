"""Several machines of one upstream: each with a keeper and a session of its own, found by themselves.

Where they are is a hint that nothing attests: it can only name hosts that follow from the configured one, each is verified for itself before
anything is sent to it, and it is under the same policy. So a wrong hint costs verifications, never a prompt.

A request goes to the verified machine with the fewest requests in progress; to one that can't be reached only when no other is left, for a
while. One that is refused is in quarantine alone. A machine that is no longer named takes no more requests; those on their way finish.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from ollm.errors import UpstreamError, WireError
from ollm.net import spread
from ollm.upstream.keeper import Keeper, State
from ollm.upstream.session import Route, Unverified, VerifiedSession

_LOOK_SECONDS = 300.0  # between two looks at which machines there are, less up to a fifth, so that gateways don't look together
_SOON_SECONDS = 5.0  # after a machine showed another key: machines may have changed places
_UNREACHED_SECONDS = 30.0  # for so long a machine that couldn't be connected to is the last choice


class Fleet:
    """`Held` for an upstream with several machines. `discover` names their URLs; `make` makes the keeper of one."""

    def __init__(self, name: str, url: str, discover: Callable[[], Awaitable[tuple[str, ...]]], make: Callable[[str], Keeper]) -> None:
        """`url`: the configured one, which serves alone while nobody could say which machines there are."""
        self.name = name
        self._url = url
        self._discover = discover
        self._make = make
        self._members: dict[str, Keeper] = {}
        self._turn = 0
        self._looking: asyncio.Task[None] | None = None
        self._next_look: asyncio.TimerHandle | None = None
        self._working: set[asyncio.Task[Any]] = set()
        self._closed = False

    def sessions(self) -> tuple[VerifiedSession, ...]:
        """Those that hold now, of all machines."""
        return tuple(session for member in self._members.values() if (session := member.held()) is not None)

    def held(self) -> VerifiedSession | None:
        """A valid session, of another machine each time where they are equally busy; None where no machine has one."""
        now = asyncio.get_running_loop().time()
        sessions = self.sessions()
        reached = [each for each in sessions if each.unreached_at is None or now - each.unreached_at > _UNREACHED_SECONDS] or sessions
        least = [each for each in reached if each.in_progress == min(other.in_progress for other in reached)]
        if not least:
            return None
        self._turn += 1
        return least[self._turn % len(least)]

    async def session(self, timeout: float, since: int = 0) -> VerifiedSession:
        """A valid session that was verified at `since` (Unix seconds) or later: that of the first machine that is verified, where none is held.

        Raises: Unverified, TimeoutError.
        """
        if (session := self.held()) is not None and session.established_at >= since:
            return session
        if fresh := [each for each in self.sessions() if each.established_at >= since]:
            return min(fresh, key=lambda each: each.in_progress)
        async with asyncio.timeout(timeout):
            if not self._members:
                await asyncio.shield(self._look())
            return await self._first(timeout, since)

    async def _first(self, timeout: float, since: int) -> VerifiedSession:
        loop = asyncio.get_running_loop()
        asked = [loop.create_task(member.session(timeout, since)) for member in self._members.values()]
        problem: BaseException | None = None
        try:
            for next_one in asyncio.as_completed(asked):
                try:
                    return await next_one
                except (Unverified, TimeoutError) as refusal:
                    if not isinstance(problem, Unverified):  # why one was refused says more than that another took too long
                        problem = refusal
        finally:
            for task in asked:  # these only wait: the verifications of the other machines go on
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        raise problem or TimeoutError

    # Which machines there are

    def _look(self) -> "asyncio.Task[None]":
        if self._looking is None or self._looking.done():
            self._looking = self._start(self._looked())
        return self._looking

    async def _looked(self) -> None:
        try:
            urls = await self._discover()
        except (UpstreamError, WireError):
            urls = ()
        finally:
            self._look_in(_LOOK_SECONDS * spread.between(0.8, 1.0))
        await self._take(urls or tuple(self._members) or (self._url,))  # nobody knows better than last time

    async def _take(self, urls: tuple[str, ...]) -> None:
        old, members = self._members, {url: self._members.get(url) or self._make(url) for url in dict.fromkeys(urls)}
        gone = {url: member for url, member in old.items() if url not in members}
        self._members = {**members, **gone}
        new = [self._start(_verified(members[url])) for url in members if url not in old]
        if gone and new and not any(member.held() for member in members.values()):
            await asyncio.wait(new, return_when=asyncio.FIRST_COMPLETED)  # so long those that go can still serve
        self._members = members
        for member in gone.values():
            await member.close()

    def _look_in(self, seconds: float) -> None:
        if self._closed:
            return
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = asyncio.get_running_loop().call_later(seconds, self._look)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name=f"machines of {self.name}")
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    # What the request path tells and asks

    def distrust(self, session: Route) -> None:
        """A machine showed another key than `session` binds: it is verified anew, and others may have taken its place.

        One that merely can't be connected to keeps its session, and is the last choice for a while.
        """
        if session.unreached_at is not None:
            return
        for member in self._members.values():
            member.distrust(session)
        self._look_in(_SOON_SECONDS)

    def state(self) -> State:
        """Of the machine that is best off, with the states of all."""
        states = [msgspec.structs.replace(member.state(), upstream=url.removeprefix("https://")) for url, member in self._members.items()]
        if not states:
            return State(self.name, None, None, None, "never", None, None)
        best = next((state for state in states if state.available), None) or next((state for state in states if state.reason), states[0])
        return msgspec.structs.replace(best, upstream=self.name, machines=tuple(states))

    async def close(self) -> None:
        """End all of it."""
        self._closed = True
        if self._next_look is not None:
            self._next_look.cancel()
        working = list(self._working)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for member in self._members.values():
            await member.close()


async def _verified(member: Keeper) -> None:
    """Have a new machine verified before it is needed. What it comes to stands in its state."""
    try:
        await member.session(_LOOK_SECONDS)
    except (Unverified, TimeoutError):
        return
