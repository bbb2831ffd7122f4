"""What is refused is left alone for a while, longer each time, and comes back by itself."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import ollm.upstream.keeper
from ollm.errors import StoreError
from ollm.net import spread
from ollm.upstream.keeper import Keeper
from ollm.upstream.session import Unverified
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.level import Level
from tests.stage import eventually
from tests.upstream.verifying import MovableClock

REFUSED = Unverified(Appraisal("p", Level.TEE, (Check("quote.debug", Outcome.FAILED, "debug", "none"),)))


class Session:
    """As much of a VerifiedSession as a keeper looks at."""

    def __init__(self, clock: MovableClock, seconds: int) -> None:
        self.session_id = "ab" * 32
        self.document = b"{}"
        self.established_at = clock.now()
        self.expires_at = self.established_at + seconds
        self.appraisal = Appraisal("p", Level.TEE, (Check("quote.debug", Outcome.PASSED),))
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Machine:
    """A machine whose verdicts a test plans: True accepts, anything else is raised. The last one stays."""

    def __init__(self, *verdicts: Any, seconds: int = 600) -> None:
        self.clock = MovableClock()
        self.verdicts = list(verdicts)
        self.asked = 0
        self.fails = False
        self._seconds = seconds

    async def verify(self) -> Any:
        self.asked += 1
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if verdict is not True:
            raise verdict
        return Session(self.clock, self._seconds)

    async def put(self, session_id: str, upstream: str, expires_at: int, document: bytes) -> None:
        if self.fails:
            raise StoreError("the disk is full")

    async def get(self, session_id: str) -> bytes | None:
        return None


@contextlib.asynccontextmanager
async def keeping(machine: Machine) -> AsyncIterator[Keeper]:
    verify: Callable[[], Awaitable[Any]] = machine.verify
    keeper = Keeper("u", verify, machine.clock, machine)
    yield keeper
    await keeper.close()


@pytest.fixture(autouse=True)
def without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "between", lambda low, high: 1.0 if low == 0.75 else low)


async def refused(keeper: Keeper) -> None:
    with pytest.raises(Unverified):
        await keeper.session(5)


async def test_each_refusal_in_a_row_doubles_the_quarantine() -> None:
    machine = Machine(REFUSED)
    async with keeping(machine) as keeper:
        pauses = []
        for _ in range(10):
            await refused(keeper)
            state = keeper.state()
            assert state.retry_at is not None
            pauses.append(state.retry_at - machine.clock.now())
            machine.clock.ahead += pauses[-1]
        assert pauses == pytest.approx([2, 4, 8, 16, 32, 64, 128, 256, 300, 300], abs=1)
        assert machine.asked == 10
        assert (state.refusals, state.reason, state.available) == (10, "quote.debug: got debug, want none", False)


async def test_in_quarantine_nobody_is_asked() -> None:
    machine = Machine(REFUSED)
    async with keeping(machine) as keeper:
        for _ in range(50):
            await refused(keeper)
        assert machine.asked == 1


async def test_what_is_remembered_of_a_refusal_does_not_collect_the_frames_of_requests() -> None:
    async with keeping(Machine(REFUSED)) as keeper:
        await refused(keeper)
        raised = []
        for _ in range(5):
            with pytest.raises(Unverified) as caught:
                await keeper.session(5)
            raised.append(caught.value)
            assert sum(1 for _ in traceback.walk_tb(caught.tb)) <= 2
        assert len(set(map(id, raised))) == 5
        assert {problem.reason for problem in raised} == {REFUSED.reason}


async def test_it_comes_back_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.keeper, "_REFUSAL_SECONDS", 1.0)
    machine = Machine(REFUSED, True)
    async with keeping(machine) as keeper:
        await refused(keeper)
        await eventually(lambda: keeper.held() is not None)
        state = keeper.state()
        assert (state.last_result, state.reason, state.retry_at, state.refusals, state.available) == ("verified", None, None, 0, True)


async def test_an_acceptance_ends_the_row() -> None:
    machine = Machine(REFUSED, REFUSED, True, REFUSED)
    async with keeping(machine) as keeper:
        for ahead in (2, 6, 6 + 700):
            await refused(keeper) if ahead < 7 else await keeper.session(5)
            machine.clock.ahead = ahead
        await refused(keeper)
        assert keeper.state().refusals == 1


async def test_one_that_was_good_is_asked_twice_before_it_is_refused() -> None:
    """Its keys may have changed between the answers of one verification."""
    machine = Machine(True, REFUSED, True)
    async with keeping(machine) as keeper:
        first = await keeper.session(5)
        keeper.distrust(first)
        second = await keeper.session(5)
        assert (second is first, machine.asked, keeper.state().refusals) == (False, 3, 0)


async def test_one_that_stays_bad_is_asked_twice_once() -> None:
    machine = Machine(True, REFUSED)
    async with keeping(machine) as keeper:
        keeper.distrust(await keeper.session(5))
        await refused(keeper)
        assert machine.asked == 3
        machine.clock.ahead = 2.01
        await refused(keeper)
        assert machine.asked == 4


async def test_while_an_older_session_holds_it_serves_on() -> None:
    machine = Machine(True, REFUSED)
    async with keeping(machine) as keeper:
        first = await keeper.session(5)
        with pytest.raises(Unverified):
            await keeper._verify()
        assert await keeper.session(5) is first
        state = keeper.state()
        assert (state.last_result, state.available) == ("refused", True)
        assert state.retry_at is not None
        assert state.retry_at - machine.clock.now() == pytest.approx(15, abs=1)


async def test_a_full_disk_does_not_end_the_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.keeper, "_RETRY_SECONDS", 1.0)
    machine = Machine(True)
    async with keeping(machine) as keeper:
        first = await keeper.session(5)
        machine.fails = True
        with pytest.raises(StoreError):
            await keeper._verify()
        assert keeper.held() is first
        machine.fails = False
        await eventually(lambda: keeper.held() not in (None, first))


async def test_a_session_that_is_replaced_is_drained() -> None:
    machine = Machine(True)
    async with keeping(machine) as keeper:
        first: Any = await keeper.session(5)
        second: Any = await keeper._verify()
        assert (first.closed, second.closed) == (True, False)
    assert second.closed


async def test_a_closed_keeper_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.keeper, "_REFUSAL_SECONDS", 1.0)
    machine = Machine(REFUSED)
    async with keeping(machine) as keeper:
        await refused(keeper)
    await asyncio.sleep(1.1)
    assert machine.asked == 1
