"""Entries to rows and back; what a lost request's row says."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from ollm.errors import StoreError
from ollm.store.rows import lost
from ollm.store.sqlite import Store
from ollm.values.ledger import Entry, Status
from ollm.values.level import Level
from ollm.values.usage import COUNTS, TIERS, Tier, Usage
from tests.store.making import Database, entry, intent


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with database.open() as store:
        yield store


NOTHING_KNOWN = {
    "model": None,
    "upstream": None,
    "level": None,
    "session_id": None,
    "cost_micro": None,
    "price_version": None,
    "receipt": None,
    "reserved_micro": None,
}

USED = Usage(**{count: 11 + number for number, count in enumerate(COUNTS)}, estimated=True, count_mismatch=True, tier="flex")


@pytest.mark.parametrize("status", list(Status))
async def test_every_status_comes_back_equal(store: Store, status: Status) -> None:
    written = entry(status=status)
    await store.ledger.complete(written)
    assert await store.ledger.find(written.request_id) == written


@pytest.mark.parametrize("field", list(NOTHING_KNOWN))
async def test_what_is_not_known_stays_unknown(store: Store, field: str) -> None:
    written = entry(**{field: None})
    await store.ledger.complete(written)
    assert await store.ledger.find(written.request_id) == written


async def test_every_field_has_a_place_of_its_own(store: Store) -> None:
    numbers = {
        "http_status": 201,
        "started_ms": 2,
        "cost_micro": 3,
        "verify_us": 4,
        "headers_us": 5,
        "first_us": 6,
        "total_us": 2**62,
        "reserved_micro": 7,
    }
    others = {"usage": USED, "streamed": False, "receipt": bytes(range(256)), "level": Level.SIMULATED, "project": "proj_abcdefgh234567ab"}
    written = entry(None, **(numbers | others))
    await store.ledger.complete(written)
    found = await store.ledger.find(written.request_id)
    assert found == written
    assert set(msgspec.structs.asdict(written)) == set(Entry.__struct_fields__)


@pytest.mark.parametrize("tier", TIERS)
async def test_every_tier_comes_back_equal(store: Store, tier: Tier) -> None:
    written = entry(usage=Usage(tier=tier))
    await store.ledger.complete(written)
    assert await store.ledger.find(written.request_id) == written


@pytest.mark.parametrize("count", COUNTS)
async def test_no_count_is_negative(store: Store, count: str) -> None:
    with pytest.raises(StoreError):
        await store.ledger.complete(entry(usage=Usage(**{count: -1})))  # type: ignore[arg-type]


async def test_a_tier_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        await store.ledger.complete(entry(usage=Usage(tier="my secret tier")))  # type: ignore[arg-type]


def test_a_lost_request_keeps_its_project() -> None:
    assert lost(intent(project="proj_abcdefgh234567ab")).project == "proj_abcdefgh234567ab"


def test_a_lost_request_is_an_estimate_of_nothing() -> None:
    begun = intent()
    row = lost(begun)
    assert (row.request_id, row.key_id, row.model, row.started_ms) == (begun.request_id, begun.key_id, begun.model, begun.started_ms)
    assert (row.status, row.endpoint, row.http_status, row.usage) == (Status.LOST, "unknown", 0, Usage(estimated=True))
    assert (row.cost_micro, row.receipt) == (None, None)
