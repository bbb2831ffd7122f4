"""One verification for everybody, renewed in time, and none that outlives a doubt."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import ollm.upstream.keeper
from ollm.config.settings import Timeouts, UpstreamSettings
from ollm.errors import StoreError, UpstreamError
from ollm.net import spread
from ollm.net.connection import Origin
from ollm.net.pool import Pool
from ollm.sim.service import SimEnclave, SimOptions
from ollm.upstream.keeper import Keeper, OpenRoute
from ollm.upstream.session import UnattestedRoute, Unverified
from ollm.upstream.zdr import ZdrProvider
from ollm.values.level import Level
from tests.scripted_enclave import answer, scripted_enclave
from tests.stage import eventually
from tests.upstream.verifying import MovableClock, verifier


class Archive:
    """`ports.Sessions` in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.fails = False

    async def put(self, session_id: str, upstream: str, expires_at: int, document: bytes) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        self.kept[session_id] = document

    async def get(self, session_id: str) -> bytes | None:
        return self.kept.get(session_id)


class Kept:
    """A keeper with everything around it that a test looks at."""

    def __init__(self, keeper: Keeper, clock: MovableClock, archive: Archive) -> None:
        self.keeper = keeper
        self.clock = clock
        self.archive = archive


@contextlib.asynccontextmanager
async def keeping(machine: Any, **settings: Any) -> AsyncIterator[Kept]:
    clock, archive = MovableClock(), Archive()
    async with verifier(machine, clock=clock, **settings) as verify:
        keeper = Keeper("enclave", verify, clock, archive)
        yield Kept(keeper, clock, archive)
        await keeper.close()


@pytest.fixture
def without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "between", lambda low, high: low)


async def test_a_hundred_first_requests_are_one_verification(enclave: SimEnclave) -> None:
    async with keeping(enclave) as kept:
        assert kept.keeper.held() is None
        sessions = await asyncio.gather(*(kept.keeper.session(5) for _ in range(100)))
        assert enclave.counters.reports == 1
        assert {id(session) for session in sessions} == {id(kept.keeper.held())}
        assert await kept.archive.get(sessions[0].session_id) == sessions[0].document


async def test_one_that_gives_up_waiting_does_not_stop_it_for_the_others() -> None:
    async with scripted_enclave(answer(b"{}")) as enclave, keeping(enclave) as kept:
        enclave.hold_reports = asyncio.Event()
        patient = asyncio.create_task(kept.keeper.session(5))
        with pytest.raises(TimeoutError):
            await kept.keeper.session(0.1)
        leaving = asyncio.create_task(kept.keeper.session(5))
        await asyncio.sleep(0.01)
        leaving.cancel()
        enclave.hold_reports.set()
        assert (await patient).session_id
        assert enclave.reports == 1


async def test_it_is_verified_again_when_its_time_is_over(enclave: SimEnclave) -> None:
    async with keeping(enclave, session_seconds=600) as kept:
        first = await kept.keeper.session(5)
        kept.clock.ahead = 590
        assert await kept.keeper.session(5) is first
        kept.clock.ahead = 600
        assert kept.keeper.held() is None
        second = await kept.keeper.session(5)
        assert second.session_id != first.session_id
        assert enclave.counters.reports == 2


@pytest.mark.usefixtures("without_jitter")
async def test_it_is_renewed_in_the_background_before_its_time_is_over(enclave: SimEnclave) -> None:
    async with keeping(enclave, session_seconds=2) as kept:
        first = await kept.keeper.session(5)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await eventually(lambda: kept.keeper.held() not in (None, first), 4)
        assert 1.2 < loop.time() - begun < 2.0, "at 0.7 of its life, while it still held"
        assert enclave.counters.reports == 2


@pytest.mark.usefixtures("without_jitter")
async def test_a_renewal_that_fails_leaves_the_old_session_and_is_tried_again(enclave: SimEnclave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.keeper, "_RETRY_SECONDS", 1.0)
    async with keeping(enclave, session_seconds=600) as kept:
        first = await kept.keeper.session(5)
        genuine, enclave.machine = enclave.machine, SimEnclave(SimOptions(broken="debug-bit")).machine
        report = enclave.enclave._report

        async def none(nonce: str | None) -> bytes:
            return b"{}"

        enclave.enclave._report = none
        kept.keeper._renew_in(0)
        await eventually(lambda: kept.keeper.state().last_result == "refused")
        assert kept.keeper.held() is first
        assert await kept.keeper.session(1) is first
        assert kept.keeper.state().reason is not None
        enclave.enclave._report, enclave.machine = report, genuine
        await eventually(lambda: kept.keeper.held() not in (None, first), 4)
        assert kept.keeper.state().last_result == "verified"


@pytest.mark.usefixtures("without_jitter")
async def test_a_refusal_is_remembered_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with SimEnclave(SimOptions(broken="debug-bit")) as broken, keeping(broken) as kept:
        for _ in range(20):
            with pytest.raises(Unverified):
                await kept.keeper.session(5)
        assert broken.counters.reports == 1
        kept.clock.ahead = 2.01
        with pytest.raises(Unverified):
            await kept.keeper.session(5)
        assert broken.counters.reports == 2


async def test_a_session_in_doubt_is_dropped_and_verified_anew_at_once(enclave: SimEnclave) -> None:
    async with keeping(enclave) as kept:
        first = await kept.keeper.session(5)
        kept.keeper.distrust(first)
        assert kept.keeper.held() is None
        second = await kept.keeper.session(5)
        assert second is not first
        kept.keeper.distrust(first)
        assert kept.keeper.held() is second, "the doubt was about another one"
        assert enclave.counters.reports == 2


async def test_a_session_that_can_not_be_kept_is_not_used(enclave: SimEnclave) -> None:
    """A receipt must never cite a session that nobody can fetch."""
    async with keeping(enclave) as kept:
        kept.archive.fails = True
        with pytest.raises(StoreError):
            await kept.keeper.session(5)
        assert kept.keeper.held() is None
        kept.archive.fails = False
        assert await kept.keeper.session(5) is kept.keeper.held()


async def test_the_state_that_people_see(enclave: SimEnclave) -> None:
    async with keeping(enclave, session_seconds=600) as kept:
        before = kept.keeper.state()
        assert (before.upstream, before.last_result, before.session_id, before.reason) == ("enclave", "never", None, None)
        session = await kept.keeper.session(5)
        state = kept.keeper.state()
        assert (state.last_result, state.session_id, state.expires_at) == ("verified", session.session_id, session.established_at + 600)
        assert state.appraisal is session.appraisal
        kept.clock.ahead = 600
        assert (kept.keeper.state().last_result, kept.keeper.state().session_id) == ("verified", None)


async def test_after_its_end_nothing_is_verified_any_more() -> None:
    async with scripted_enclave(answer(b"{}")) as enclave, keeping(enclave) as kept:
        session = await kept.keeper.session(5)
        enclave.hold_reports = asyncio.Event()
        running = kept.keeper._verify()
        await eventually(lambda: enclave.reports == 2)
        await kept.keeper.close()
        assert running.cancelled()
        kept.keeper.distrust(session)
        kept.keeper._renew_in(0)
        await asyncio.sleep(0.05)
        assert enclave.reports == 2


# Providers without evidence


def made_open(made: list[Pool]) -> UnattestedRoute:
    provider = ZdrProvider(UpstreamSettings(url="https://a.example", adapter="openai"), None)
    made.append(Pool(Origin("a.example", 443), None, provider.tls, size=1, connect_timeout=1))
    return UnattestedRoute("open", provider, made[-1], Timeouts())


async def test_a_route_without_evidence_is_always_there_and_never_verified() -> None:
    made: list[Pool] = []
    route = OpenRoute("open", lambda: made_open(made))
    assert await route.session(0) is route.held()
    assert (route.held().level, route.held().session_id, route.held().bound) == (Level.ZDR, None, None)
    state = route.state()
    assert (state.upstream, state.last_result, state.session_id, state.verified_at, state.expires_at) == ("open", "not_attested", None, None, None)
    assert (state.reason, state.appraisal) == (None, None)
    await route.close()
    assert len(made) == 1
    with pytest.raises(UpstreamError, match="ended"):
        await made[0].acquire()


async def test_a_route_in_doubt_gets_new_connections() -> None:
    made: list[Pool] = []
    route = OpenRoute("open", lambda: made_open(made))
    first = route.held()
    route.distrust(first)
    second = route.held()
    assert second is not first
    with pytest.raises(UpstreamError, match="ended"):
        await made[0].acquire()
    route.distrust(first)
    assert route.held() is second, "the doubt was about another one"
    await route.close()
