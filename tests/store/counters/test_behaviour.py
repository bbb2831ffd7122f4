"""What counters promise, whatever keeps them: one suite over all kinds."""

import asyncio

import pytest

from ollm.errors import StoreError
from ollm.ports import Counters, Granted, Reading, Refused, Unloaded
from ollm.traffic.charges import MOST, Charges
from ollm.values.terms import Limit
from tests.store.counters.harness import NOTHING, NOW, NOW_MS, Harness, asked, loaded, made, took


def by_name(charges: Charges) -> dict[str, int]:
    return dict(zip(charges.meters.names, charges.amounts, strict=True))


FEW = Limit(parallel=2, requests_per_minute=3, tokens_per_minute=100)


async def value(counters: Counters, charges: Charges, index: int = 0) -> Reading:
    return (await counters.read([charges.meters.names[index]]))[0]


async def test_what_fits_is_granted_and_the_rest_is_not(counters: Counters) -> None:
    limit = Limit(requests_per_minute=2)
    assert await counters.reserve(asked("r1", made(limit=limit)), NOW_MS) == Granted((1,))
    assert await counters.reserve(asked("r2", made(limit=limit)), NOW_MS) == Granted((2,))
    assert await counters.reserve(asked("r3", made(limit=limit)), NOW_MS) == Refused(0, (2,))


async def test_a_refusal_charges_nothing_at_all(counters: Counters) -> None:
    charges = made(limit=FEW, tokens=60)
    assert await counters.reserve(asked("r1", charges), NOW_MS) == Granted((1, 1, 60))
    assert await counters.reserve(asked("r2", charges), NOW_MS) == Refused(2, (1, 1, 60))
    assert await counters.read(charges.meters.names) == [Reading(1, 1), Reading(1, 1), Reading(60, 60)]
    small = made(limit=FEW, tokens=40)
    assert await counters.reserve(asked("r2", small), NOW_MS) == Granted((2, 2, 100))


async def test_settling_moves_what_was_taken_and_gives_the_rest_back(counters: Counters) -> None:
    charges = made(limit=FEW, tokens=60)
    await counters.reserve(asked("r1", charges), NOW_MS)
    await counters.settle("r1", took(charges, tokens=25), NOW_MS + 100)
    assert await counters.read(charges.meters.names) == [Reading(0, 0), Reading(1, 0), Reading(25, 0)]


async def test_settling_again_changes_nothing(counters: Counters) -> None:
    charges = made(limit=FEW, tokens=60)
    await counters.reserve(asked("r1", charges), NOW_MS)
    for tokens in (25, 99, 0):
        await counters.settle("r1", took(charges, tokens=tokens), NOW_MS + 100)
    await counters.release("r1")
    assert await counters.read(charges.meters.names) == [Reading(0, 0), Reading(1, 0), Reading(25, 0)]


async def test_a_request_may_take_more_than_was_reserved(counters: Counters) -> None:
    charges = made(limit=FEW, tokens=90)
    await counters.reserve(asked("r1", charges), NOW_MS)
    await counters.settle("r1", took(charges, tokens=130), NOW_MS)
    assert await value(counters, charges, 2) == Reading(130, 0)
    assert await counters.reserve(asked("r2", made(limit=FEW, tokens=0)), NOW_MS) == Refused(2, (0, 1, 130))


async def test_releasing_gives_everything_back_once(counters: Counters) -> None:
    charges = made(limit=FEW, tokens=60)
    await counters.reserve(asked("r1", charges), NOW_MS)
    await counters.reserve(asked("r2", made(limit=FEW, tokens=30)), NOW_MS)
    await counters.release("r1")
    await counters.release("r1")
    await counters.settle("r1", took(charges, tokens=60), NOW_MS)
    assert await counters.read(charges.meters.names) == [Reading(1, 1), Reading(1, 1), Reading(30, 30)]


async def test_a_reserve_is_answered_again_and_charged_once(counters: Counters) -> None:
    request = asked("r1", made(limit=FEW, tokens=60))
    assert await counters.reserve(request, NOW_MS) == Granted((1, 1, 60))
    assert await counters.reserve(request, NOW_MS) == Granted((1, 1, 60))
    await counters.settle("r1", took(request.charges, tokens=7), NOW_MS)
    assert await counters.reserve(request, NOW_MS) == Granted((0, 1, 7))


async def test_what_was_released_is_not_reserved_by_a_call_that_comes_late(counters: Counters) -> None:
    charges = made(limit=FEW)
    await counters.release("r1")
    with pytest.raises(StoreError, match="released"):
        await counters.reserve(asked("r1", charges), NOW_MS)
    assert await value(counters, charges) == Reading(0, 0)


async def test_a_request_without_limits_is_granted(counters: Counters) -> None:
    assert await counters.reserve(asked("r1", NOTHING), NOW_MS) == Granted(())
    await counters.settle("r1", NOTHING, NOW_MS)


async def test_a_limit_of_nothing_grants_nothing(counters: Counters) -> None:
    assert await counters.reserve(asked("r1", made(limit=Limit(requests_per_day=0))), NOW_MS) == Refused(0, (0,))


# Money.


async def test_a_budget_that_was_not_loaded_is_not_taken_for_unspent(counters: Counters) -> None:
    charges = made(limit=FEW, budget=100)
    answer = await counters.reserve(asked("r1", charges), NOW_MS)
    assert answer == Unloaded(charges.some([3]))
    assert await value(counters, charges) == Reading(0, 0)
    await counters.load(loaded(charges, spent=95), NOW_MS)
    assert await counters.reserve(asked("r1", charges), NOW_MS) == Granted((1, 1, 10, 100))
    assert await counters.reserve(asked("r2", charges), NOW_MS) == Refused(3, (1, 1, 10, 100))


async def test_loading_again_neither_doubles_nor_lowers(counters: Counters) -> None:
    charges = made(budget=1000)
    await counters.load(loaded(charges, spent=40), NOW_MS)
    await counters.reserve(asked("r1", charges), NOW_MS)
    for spent in (40, 0, 500):
        await counters.load(loaded(charges, spent=spent), NOW_MS + 10)
    assert await value(counters, charges) == Reading(45, 5)


async def test_what_the_store_lost_is_charged_when_it_ends_unless_it_was_loaded(counters: Counters) -> None:
    charges = made(limit=FEW, budget=1000)
    await counters.load(loaded(charges, spent=40), NOW_MS)
    await counters.settle("before", took(charges, tokens=3, micro=7), NOW_MS - 1)  # its entry is in the sum of 40
    await counters.settle("after", took(charges, tokens=3, micro=7), NOW_MS + 1)
    await counters.settle("after", took(charges, tokens=3, micro=7), NOW_MS + 1)
    assert await counters.read(charges.meters.names) == [Reading(0, 0), Reading(2, 0), Reading(6, 0), Reading(47, 0)]


async def test_what_ends_before_the_budget_is_loaded_comes_with_the_ledger(counters: Counters) -> None:
    charges = made(budget=1000)
    await counters.settle("lost", took(charges, micro=7), NOW_MS)
    await counters.load(loaded(charges, spent=47), NOW_MS + 1)
    assert await value(counters, charges) == Reading(47, 0)


async def test_two_hundred_at_once_never_get_more_than_there_is(counters: Counters) -> None:
    charges = made(budget=500, micro=5)  # money for a hundred
    await counters.load(loaded(charges), NOW_MS)
    answers = await asyncio.gather(*[counters.reserve(asked(f"r{number}", charges), NOW_MS) for number in range(200)])
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    assert len(granted) == 100
    assert sorted(answer.values[0] for answer in granted) == list(range(5, 501, 5))
    assert await value(counters, charges) == Reading(500, 500)


async def test_large_amounts_are_exact(counters: Counters) -> None:
    limit = 10**17
    odd = 2**53 + 1  # no double holds it
    charges = made(budget=limit, micro=odd)
    await counters.load(loaded(charges), NOW_MS)
    granted = 0
    while isinstance(await counters.reserve(asked(f"r{granted}", charges), NOW_MS), Granted):
        granted += 1
    assert granted == limit // odd
    assert await value(counters, charges) == Reading(granted * odd, granted * odd)
    rest = made(budget=limit, micro=limit - granted * odd)
    assert await counters.reserve(asked("more", made(budget=limit, micro=rest.amounts[0] + 1)), NOW_MS) == Refused(0, (granted * odd,))
    assert await counters.reserve(asked("rest", rest), NOW_MS) == Granted((limit,))


async def test_sums_end_where_64_bits_end(counters: Counters) -> None:
    charges = made(budget=10**17, micro=0)
    await counters.load(loaded(charges), NOW_MS)
    for number in range(12):
        await counters.settle(f"r{number}", took(charges, micro=MOST), NOW_MS + 1)
    assert await value(counters, charges) == Reading(2**63 - 1, 0)
    assert isinstance(await counters.reserve(asked("more", made(budget=10**17, micro=10**17)), NOW_MS), Refused)


# Windows and clocks.


async def test_a_new_window_begins_with_nothing(counters: Counters) -> None:
    limit = Limit(requests_per_minute=1)
    assert isinstance(await counters.reserve(asked("r1", made(limit=limit)), NOW_MS), Granted)
    assert isinstance(await counters.reserve(asked("r2", made(limit=limit)), NOW_MS), Refused)
    assert await counters.reserve(asked("r2", made(limit=limit, now=NOW + 60)), NOW_MS + 60_000) == Granted((1,))


async def test_an_answer_that_ends_in_the_next_window_is_settled_in_its_own(counters: Counters) -> None:
    limit = Limit(tokens_per_minute=100)
    charges, later = made(limit=limit, tokens=60), made(limit=limit, tokens=60, now=NOW + 60)
    await counters.reserve(asked("r1", charges), NOW_MS)
    await counters.settle("r1", took(charges, tokens=10), NOW_MS + 60_000)
    assert await value(counters, charges) == Reading(10, 0)
    assert await value(counters, later) == Reading(0, 0)


async def test_a_clock_that_jumps_loses_no_count(counters: Counters) -> None:
    limit = Limit(requests_per_minute=1, requests_per_day=2)
    await counters.reserve(asked("r1", made(limit=limit)), NOW_MS)
    far = NOW + 400 * 86_400
    assert isinstance(await counters.reserve(asked("r2", made(limit=limit, now=far)), far * 1000), Granted)
    assert await counters.reserve(asked("r3", made(limit=limit)), NOW_MS) == Refused(0, (1, 1))


async def test_what_is_long_over_is_not_begun_again(counters: Counters) -> None:
    charges = made(limit=Limit(requests_per_minute=1))
    await counters.settle("lost", took(charges), NOW_MS + 3_600_000)
    assert await value(counters, charges) == Reading(0, 0)


# Leases.


async def test_reservations_of_a_dead_worker_are_found_with_their_note_and_settled_once(harness: Harness) -> None:
    counters = harness.counters
    charges = made(limit=FEW, budget=1000, tokens=60)
    await counters.load(loaded(charges), NOW_MS)
    other = harness.another()
    await other.reserve(asked("r1", charges, owner="dead", note=b"key and model"), NOW_MS)
    await counters.reserve(asked("r2", charges.some([0, 1]), owner="alive"), NOW_MS)
    assert await counters.orphans() == []
    await harness.lapse("dead")
    (orphan,) = await counters.orphans()
    assert (orphan.request_id, orphan.owner, orphan.note) == ("r1", "dead", b"key and model")
    assert by_name(orphan.charges) == by_name(charges)
    await counters.settle("r1", took(orphan.charges, tokens=60, micro=5), NOW_MS)
    assert await counters.orphans() == []
    await other.settle("r1", took(charges, tokens=1, micro=1), NOW_MS)  # the worker was only slow
    assert await counters.read(charges.meters.names) == [Reading(1, 1), Reading(2, 1), Reading(60, 0), Reading(5, 0)]


async def test_a_worker_that_renews_has_no_orphans(harness: Harness) -> None:
    counters = harness.counters
    await counters.reserve(asked("r1", made(limit=FEW), owner="slow"), NOW_MS)
    await harness.lapse("slow")
    await counters.renew("slow")
    assert await counters.orphans() == []


async def test_a_worker_without_reservations_leaves_nothing(harness: Harness) -> None:
    counters = harness.counters
    await counters.reserve(asked("r1", made(limit=FEW), owner="gone"), NOW_MS)
    await counters.settle("r1", took(made(limit=FEW)), NOW_MS)
    await harness.lapse("gone")
    assert await counters.orphans() == []
