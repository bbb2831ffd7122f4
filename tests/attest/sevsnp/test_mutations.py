"""Damage to reports, certificates, chains and CRLs: refused, with no exception but our own."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.evidence import SnpCollateral
from tests.attest.sevsnp.machines import machine, refused

MACHINES = [machine("Milan"), machine("Turin"), machine("Genoa", vlek=True)]
MASKS = (0x01, 0x80, 0xFF)
REPORTS = {each.pki.product: each.report() for each in MACHINES}
COLLATERAL = {each.pki.product: each.collateral() for each in MACHINES}
POLICIES = {each.pki.product: each.policy() for each in MACHINES}
PRODUCTS = tuple(REPORTS)

Edits = list[tuple[float, bytes]]
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


def bent(data: bytes, changes: Edits) -> bytes:
    """`data` with other bytes at some places, each a fraction of its length."""
    for place, change in changes:
        at = int(place * len(data))
        data = data[:at] + change[: len(data) - at] + data[at + len(change) :]
    return data


def flips(data: bytes, stride: int) -> list[tuple[int, int, bytes]]:
    return [(at, mask, data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]) for at in range(0, len(data), stride) for mask in MASKS]


def verdict(product: str, *, report: bytes | None = None, collateral: SnpCollateral | None = None) -> str | None:
    return refused(report or REPORTS[product], collateral or COLLATERAL[product], POLICIES[product])


# A byte anywhere. The quick tests take some of them, the slow ones all.


@pytest.mark.parametrize("stride", [19, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("product", PRODUCTS)
def test_no_flipped_byte_of_a_report_is_accepted(product: str, stride: int) -> None:
    """All 1184 bytes: what is not signed must be zero."""
    assert [(at, mask) for at, mask, data in flips(REPORTS[product], stride) if verdict(product, report=data) is None] == []


@pytest.mark.parametrize("stride", [19, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("product", PRODUCTS)
def test_no_flipped_byte_of_a_certificate_is_accepted(product: str, stride: int) -> None:
    whole = COLLATERAL[product]
    found = [
        (at, mask)
        for at, mask, data in flips(whole.leaf, stride)
        if verdict(product, collateral=SnpCollateral(leaf=data, chain=whole.chain, crl=whole.crl)) is None
    ]
    assert found == []


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("product", PRODUCTS)
def test_no_flipped_byte_of_a_crl_is_accepted(product: str, stride: int) -> None:
    whole = COLLATERAL[product]
    assert whole.crl is not None
    found = [
        (at, mask)
        for at, mask, data in flips(whole.crl, stride)
        if verdict(product, collateral=SnpCollateral(leaf=whole.leaf, chain=whole.chain, crl=data)) is None
    ]
    assert found == []


# Any damage


@given(st.sampled_from(PRODUCTS), edits)
def test_bent_reports(product: str, changes: Edits) -> None:
    report = bent(REPORTS[product], changes)

    assert (verdict(product, report=report) is None) == (report == REPORTS[product])


@given(st.sampled_from(PRODUCTS), edits)
def test_bent_certificates(product: str, changes: Edits) -> None:
    whole = COLLATERAL[product]
    leaf = bent(whole.leaf, changes)

    found = verdict(product, collateral=SnpCollateral(leaf=leaf, chain=whole.chain, crl=whole.crl))
    assert (found is None) == (leaf == whole.leaf)


@given(st.sampled_from(PRODUCTS), edits)
def test_bent_crls(product: str, changes: Edits) -> None:
    whole = COLLATERAL[product]
    assert whole.crl is not None
    crl = bent(whole.crl, changes)

    found = verdict(product, collateral=SnpCollateral(leaf=whole.leaf, chain=whole.chain, crl=crl))
    assert (found is None) == (crl == whole.crl)


@given(st.sampled_from(PRODUCTS), edits)
def test_bent_chains_raise_nothing_else(product: str, changes: Edits) -> None:
    """What stands around the certificates in PEM proves nothing and may change; the root's key is pinned."""
    whole = COLLATERAL[product]
    chain = bent(whole.chain.encode(), changes).decode("latin-1")

    verdict(product, collateral=SnpCollateral(leaf=whole.leaf, chain=chain, crl=whole.crl))


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_much_damage() -> None:
    """50,000 reports and certificates, bent, cut and lengthened. Seeded, so that a finding repeats."""
    rng = random.Random(5)
    for turn in range(50_000):
        product = rng.choice(PRODUCTS)
        whole, report = COLLATERAL[product], REPORTS[product]
        target = report if turn % 2 else whole.leaf
        data = bent(target, [(rng.random(), rng.randbytes(rng.randint(1, 8))) for _ in range(rng.randint(1, 4))])
        data = data if rng.random() < 0.8 else data[: rng.randrange(len(data))] + rng.randbytes(rng.randrange(8))
        collateral = whole if turn % 2 else SnpCollateral(leaf=data, chain=whole.chain, crl=whole.crl)
        found = verdict(product, report=data if turn % 2 else report, collateral=collateral) if data else "empty"
        assert (found is None) == (data == target), (turn, product)
