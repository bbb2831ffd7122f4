"""The cache: nothing beyond its hard end, the last good copy until then, one request for everybody, and no stampede."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ollm.net.collateral.cache
from ollm.errors import CollateralError, StoreError, UpstreamError
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.shelf import Shelf
from ollm.ports import Fetched
from tests.net.collateral.vendor import DAY, HOUR, NOW, MovableClock, certificate, crl, crl_key, der

KEY = crl_key()
VCEK = Key("vcek", "Milan ab", "https://kds.example/vcek/v1/Milan/ab")


class Service:
    """What `obtain` asks: `answer` makes a body or raises; `asked` counts."""

    def __init__(self, answer: Callable[[], bytes]) -> None:
        self.answer = answer
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Fetched:
        self.asked += 1
        await self.open.wait()
        return Fetched(200, {}, self.answer())


class Stage:
    """A cache, its clock and one service."""

    def __init__(self, answer: Callable[[], bytes] | None = None, **options: object) -> None:
        self.clock = MovableClock()
        self.service = Service(answer or (lambda: crl(issued=self.clock.seconds - 60, end=self.clock.seconds + 30 * DAY, number=self.clock.seconds)))
        self.cache = CollateralCache(self.clock, **options)  # type: ignore[arg-type]  # each test names its own

    async def get(self, key: Key = KEY) -> Artefact:
        return await self.cache.get(key, self.service)

    def fails(self, problem: Exception | None = None) -> None:
        def answer() -> bytes:
            raise problem or UpstreamError("connect", "timed out")

        self.service.answer = answer

    def says(self, **said: int | None) -> None:
        body = crl(**said)  # type: ignore[arg-type]
        self.service.answer = lambda: body


async def test_a_copy_is_used_until_its_soft_end() -> None:
    stage = Stage()
    first = await stage.get()
    stage.clock.seconds += HOUR * 9 // 10 - 1  # the last tenth is for jitter
    assert await stage.get() is first
    assert stage.service.asked == 1
    stage.clock.seconds = NOW + HOUR
    assert (await stage.get()).fetched_at == NOW + HOUR
    assert stage.service.asked == 2


async def test_copies_are_asked_for_anew_at_different_times() -> None:
    stage = Stage()
    keys = [crl_key(f"CA {number}") for number in range(40)]
    for key in keys:
        await stage.get(key)
    stage.clock.seconds = NOW + HOUR * 95 // 100
    for key in keys:
        await stage.get(key)
    assert 45 < stage.service.asked < 75, "about half of them came early"


async def test_a_hundred_at_once_are_one_request() -> None:
    stage = Stage()
    stage.service.open.clear()
    waiting = [asyncio.get_running_loop().create_task(stage.get()) for _ in range(100)]
    await asyncio.sleep(0)
    stage.service.open.set()
    found = await asyncio.gather(*waiting)
    assert stage.service.asked == 1
    assert all(copy is found[0] for copy in found)


async def test_a_hundred_at_once_are_one_failure() -> None:
    stage = Stage()
    stage.fails()
    found = await asyncio.gather(*(stage.get() for _ in range(100)), return_exceptions=True)
    assert stage.service.asked == 1
    assert {str(problem) for problem in found} == {"connect: timed out"}
    assert len({id(problem) for problem in found}) == 100, "each its own, with its own traceback"


async def test_who_gives_up_does_not_stop_what_others_wait_for() -> None:
    stage = Stage()
    stage.service.open.clear()
    one, other = (asyncio.get_running_loop().create_task(stage.get()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    stage.service.open.set()
    assert (await other).fetched_at == NOW
    assert stage.service.asked == 1


async def test_while_a_service_fails_the_last_good_copy_serves_to_its_hard_end_and_never_beyond(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.says(end=NOW + 2 * DAY)
    first = await stage.get()
    stage.fails()
    with caplog.at_level(logging.WARNING):
        for seconds in (HOUR, DAY, 2 * DAY - 1):
            stage.clock.seconds = NOW + seconds
            assert await stage.get() is first
    assert stage.service.asked == 4
    assert {record.message for record in caplog.records} == {"collateral not renewed"}
    stage.clock.seconds = NOW + 2 * DAY
    with pytest.raises(CollateralError, match="timed out"):
        await stage.get()


async def test_a_service_that_fails_is_not_asked_by_everybody() -> None:
    stage = Stage()
    await stage.get()
    stage.clock.seconds += HOUR
    stage.fails()
    for _ in range(5):
        await stage.get()
    assert stage.service.asked == 2
    stage.clock.seconds += 3
    await stage.get()
    assert stage.service.asked == 3


@pytest.mark.parametrize(
    ("problem", "silent", "again"),
    [
        (UpstreamError("connect", "timed out"), 1, 3),
        (CollateralError("headers", "answered 503", status=503), 1, 3),
        (CollateralError("headers", "answered 404", status=404), 29, 38),
        (CollateralError("headers", "answered 429", status=429), 9, 13),
        (CollateralError("headers", "answered 429", status=429, retry_after=100.0), 99, 126),
        (CollateralError("headers", "answered 503", status=503, retry_after=100.0), 99, 126),
        (CollateralError("headers", "answered 429", status=429, retry_after=1e9), 3599, 4501),
    ],
)
async def test_how_long_a_failure_is_remembered(problem: UpstreamError, silent: int, again: int) -> None:
    stage = Stage()
    stage.fails(problem)
    for seconds, asked in ((0, 1), (silent, 1), (again, 2)):
        stage.clock.seconds = NOW + seconds
        with pytest.raises(CollateralError) as refused:
            await stage.get()
        assert refused.value.status == problem.status
        assert stage.service.asked == asked


async def test_a_service_that_wants_to_be_left_alone_is_not_asked_for_anything_else_either() -> None:
    stage = Stage()
    stage.fails(CollateralError("headers", "answered 429", status=429))
    for key in (KEY, crl_key("another CA")):
        with pytest.raises(CollateralError):
            await stage.get(key)
    assert stage.service.asked == 1
    with pytest.raises(CollateralError):
        await stage.get(crl_key(origin="https://other.example"))
    assert stage.service.asked == 2


async def test_an_older_failure_of_its_own_does_not_hide_that() -> None:
    stage = Stage()
    stage.fails()
    with pytest.raises(CollateralError):
        await stage.get()
    stage.clock.seconds += 5
    stage.fails(CollateralError("headers", "answered 429", status=429))
    with pytest.raises(CollateralError):
        await stage.get(crl_key("another CA"))
    with pytest.raises(CollateralError) as refused:
        await stage.get()
    assert (refused.value.status, stage.service.asked) == (429, 2)


async def test_a_failure_that_is_over_is_forgotten() -> None:
    stage = Stage()
    good = stage.service.answer
    stage.fails()
    with pytest.raises(CollateralError):
        await stage.get()
    stage.service.answer = good
    stage.clock.seconds += 3
    assert await stage.get() is await stage.get()
    assert stage.service.asked == 2


async def test_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.net.collateral.cache, "_MAX_FAILURES", 20)
    stage = Stage()
    stage.fails()
    for number in range(30):
        with pytest.raises(CollateralError):
            await stage.get(crl_key(f"CA {number}"))
    assert len(stage.cache._failures) == 20
    stage.clock.seconds += 10
    with pytest.raises(CollateralError):
        await stage.get(crl_key("one more"))
    assert len(stage.cache._failures) == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"number": 4}, id="a lower number"),
        pytest.param({"number": 5, "issued": NOW - 61}, id="the same number, an earlier date"),
        pytest.param({"number": 6, "issued": NOW + 2 * HOUR}, id="from the future"),
        pytest.param({"number": 6, "issued": NOW - DAY, "end": NOW - 1}, id="ended"),
    ],
)
async def test_what_is_not_the_newer_copy_replaces_nothing(said: dict[str, int]) -> None:
    stage = Stage()
    stage.says()
    first = await stage.get()
    stage.clock.seconds += HOUR
    stage.says(**said)
    assert await stage.get() is first
    assert stage.service.asked == 2


async def test_garbage_replaces_nothing() -> None:
    stage = Stage()
    first = await stage.get()
    stage.clock.seconds += HOUR
    stage.service.answer = lambda: b"garbage"
    assert await stage.get() is first


async def test_once_the_held_copy_has_ended_an_older_one_that_holds_is_taken() -> None:
    stage = Stage()
    stage.says(number=9, end=NOW + HOUR)
    await stage.get()
    stage.clock.seconds += HOUR
    stage.says(number=4)
    assert (await stage.get()).term.version[0] == 4


async def test_what_has_ended_is_not_given_out_even_when_it_was_just_had() -> None:
    stage = Stage()
    stage.says(issued=NOW - DAY, end=NOW - 7)
    with pytest.raises(CollateralError, match="its time was over 7 s ago") as refused:
        await stage.get()
    assert refused.value.ended
    assert stage.cache.held() == ()


async def test_what_is_from_the_future_is_for_appraisal_to_refuse_and_not_kept() -> None:
    stage = Stage()
    stage.says(issued=NOW + DAY)
    assert (await stage.get()).term.start == NOW + DAY
    assert stage.cache.held() == ()


async def test_an_answer_that_takes_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.service.open.clear()

    class Traits:
        seconds, title, stored = 0.05, "Slow thing", False

    monkeypatch.setattr(Key, "traits", property(lambda self: Traits))
    with pytest.raises(CollateralError, match="no Slow thing of a CA in time"):
        await stage.get()


async def test_what_was_not_used_for_longest_goes_first() -> None:
    stage = Stage(max_entries=3)
    keys = [crl_key(f"CA {number}") for number in range(4)]
    for key in keys[:3]:
        await stage.get(key)
    await stage.get(keys[0])
    await stage.get(keys[3])
    assert [copy.key for copy in stage.cache.held()] == [keys[2], keys[0], keys[3]]


async def test_bytes_are_bounded_and_one_copy_always_fits() -> None:
    size = len(crl())
    stage = Stage(lambda: crl(), max_bytes=size * 2 + 10)
    for number in range(5):
        await stage.get(crl_key(f"CA {number}"))
    assert len(stage.cache.held()) == 2
    small = Stage(lambda: crl(), max_bytes=1)
    await small.get()
    assert len(small.cache.held()) == 1


async def test_fetches_under_way_end_with_the_cache() -> None:
    stage = Stage()
    stage.service.open.clear()
    waiting = asyncio.get_running_loop().create_task(stage.get())
    await asyncio.sleep(0)
    await stage.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await stage.cache.close()


# --- a shelf behind it


async def test_what_was_fetched_outlives_the_process_and_is_asked_for_anew_at_once(tmp_path: Path) -> None:
    first = Stage(shelf=Shelf(tmp_path))
    await first.get()
    again = Stage(shelf=Shelf(tmp_path))
    again.fails()
    assert (await again.get()).fetched_at == NOW, "the last good copy"
    assert again.service.asked == 1, "who wrote to the disk may have written the time as well"


async def test_a_vcek_on_the_shelf_is_not_asked_for(tmp_path: Path) -> None:
    first = Stage(lambda: der(certificate(end=NOW + 2000 * DAY)), shelf=Shelf(tmp_path))
    await first.get(VCEK)
    again = Stage(shelf=Shelf(tmp_path))
    again.clock.seconds += 1000 * DAY
    assert (await again.get(VCEK)).body == (await first.get(VCEK)).body
    assert again.service.asked == 0


async def test_what_nobody_signed_never_reaches_the_shelf(tmp_path: Path) -> None:
    stage = Stage(lambda: b'{"keys": []}', shelf=Shelf(tmp_path / "shelf"))
    await stage.get(Key("nras-keys", "", "https://nras.example/.well-known/jwks.json"))
    assert not (tmp_path / "shelf").exists()


async def test_a_shelf_that_can_not_be_written_to_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def read(self, key: Key, now: int) -> Artefact | None:
            return None

        def write(self, copy: Artefact, now: int) -> None:
            raise StoreError("no space left")

    stage = Stage(shelf=Full())
    with caplog.at_level(logging.WARNING):
        assert (await stage.get()).fetched_at == NOW
    assert [record.message for record in caplog.records] == ["collateral not stored"]


async def test_a_copy_that_ends_while_it_is_stored_is_not_given_out() -> None:
    class Slow:
        def read(self, key: Key, now: int) -> Artefact | None:
            return None

        def write(self, copy: Artefact, now: int) -> None:
            stage.clock.seconds = copy.term.end

    stage = Stage(shelf=Slow())
    with pytest.raises(CollateralError, match="its time is over") as refused:
        await stage.get()
    assert refused.value.ended


async def test_offline_nothing_is_asked_and_the_shelf_is_looked_at_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    stage = Stage(shelf=shelf, offline=True)
    with pytest.raises(CollateralError, match=r"collateral\.offline is set"):
        await stage.get()
    shelf.write(artefact(KEY, crl(number=5), {}, NOW), NOW)
    assert (await stage.get()).term.version[0] == 5, "an import is noticed without a restart"
    shelf.write(artefact(KEY, crl(number=6), {}, NOW), NOW)
    assert (await stage.get()).term.version[0] == 5
    stage.clock.seconds += 61
    assert (await stage.get()).term.version[0] == 6
    shelf.write(artefact(KEY, crl(number=4), {}, NOW), NOW)
    stage.clock.seconds += 61
    assert (await stage.get()).term.version[0] == 6, "nothing goes backwards"
    stage.clock.seconds = NOW + 30 * DAY
    with pytest.raises(CollateralError):
        await stage.get()
    assert stage.service.asked == 0


# --- the property


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 3 * HOUR)),
        st.tuples(st.just("serve"), st.tuples(st.integers(-HOUR, HOUR), st.integers(1, 3 * HOUR), st.integers(0, 5))),
        st.tuples(st.just("break"), st.sampled_from([b"garbage", b"", None])),
        st.tuples(st.just("get"), st.just(0)),
    ),
    min_size=3,
    max_size=30,
)


@pytest.mark.parametrize("stored", [False, True])
@given(course=steps)
def test_whatever_happens_nothing_is_given_beyond_its_hard_end_and_nothing_goes_backwards(
    stored: bool, course: list[tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def play() -> None:
        stage = Stage(shelf=Shelf(tmp_path_factory.mktemp("shelf")) if stored else None)
        last: Artefact | None = None
        for what, how in course:
            if what == "wait":
                stage.clock.seconds += how
            elif what == "serve":
                begins, lasts, number = how
                issued = stage.clock.seconds + begins
                stage.says(issued=issued, end=issued + lasts, number=number)
            elif what == "break":
                stage.fails() if how is None else setattr(stage.service, "answer", lambda body=how: body)
            else:
                try:
                    copy = await stage.get()
                except CollateralError:
                    assert last is None or stage.clock.seconds >= last.term.end, "a copy that holds serves on"
                    continue
                assert stage.clock.seconds < copy.term.end
                if last is not None and stage.clock.seconds < last.term.end:
                    assert not copy.term.before(last.term)
                if copy.term.start <= stage.clock.seconds:
                    last = copy

    asyncio.run(play())
