"""Collateral is parsed far enough to be judged, and refused by name where it can't be."""

import json

import msgspec
import pytest

from ollm.attest.evidence import TdxCollateral
from ollm.attest.tdx.collateral import parse
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from tests.sim.hardware import NOW

DAY = 86_400


@pytest.fixture(scope="module")
def collateral(machine: SimulatedMachine) -> TdxCollateral:
    return machine.collateral()


def test_every_document_has_its_period(collateral: TdxCollateral) -> None:
    periods = {period.name: (period.start, period.end) for period in parse(collateral).periods}

    issued = NOW - 300
    for name in ("TCB info", "QE identity", "root CRL", "PCK CRL"):
        assert periods.pop(name) == (issued, issued + 30 * DAY)
    assert set(periods) == {"TCB info signer", "QE identity signer"}


def test_the_first_certificate_of_a_chain_is_the_signer(machine: SimulatedMachine, collateral: TdxCollateral) -> None:
    parsed = parse(collateral)

    assert parsed.tcb_signing == parsed.qe_signing == machine.pki.tcb_signing.certificate
    assert parsed.source is collateral


def test_the_same_collateral_is_parsed_once(machine: SimulatedMachine, collateral: TdxCollateral) -> None:
    again = msgspec.structs.replace(collateral)

    assert again is not collateral
    assert parse(again) is parse(collateral)
    assert parse(machine.collateral()) is not parse(collateral)  # signed afresh


@pytest.mark.parametrize(("svn", "status"), [("0601", "UpToDate"), ("0501", "OutOfDate"), ("0301", None), ("0602", None), ("0600", None)])
def test_a_module_is_judged_by_its_version_and_its_svn(collateral: TdxCollateral, svn: str, status: str | None) -> None:
    level = parse(collateral).module_level(bytes.fromhex(svn).ljust(16, b"\x00"))

    assert (level.tcb_status if level is not None else None) == status


def _dates(**members: object) -> str:
    return json.dumps({"issueDate": "2027-01-01T00:00:00Z", "nextUpdate": "2027-02-01T00:00:00Z", **members})


@pytest.mark.parametrize("member", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        _dates(issueDate=1),
        _dates(nextUpdate="2027-02-01"),
        _dates(nextUpdate="2027-02-01T00:00:00+00:00"),
        _dates(nextUpdate="2027-02-31T00:00:00Z"),
        _dates()[:-1] + ',"x":' + "[" * 20_000 + "]" * 20_000 + "}",
        '"\ud800"',
    ],
    ids=["empty", "list", "no dates", "number", "date only", "offset", "no such day", "deep", "surrogate"],
)
def test_documents_without_readable_dates_are_refused(collateral: TdxCollateral, member: str, document: str) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        parse(msgspec.structs.replace(collateral, **{member: document}))
    assert refusal.value.check == "collateral.format"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("root_ca_crl", b""),
        ("pck_crl", b"\x30\x00"),
        ("tcb_info_issuer_chain", ""),
        ("qe_identity_issuer_chain", "\ud800"),
        ("pck_crl", bytes(2**20 + 1)),
        ("tcb_info", " " * (2**20 + 1)),
    ],
)
def test_members_that_cannot_be_read_are_refused(collateral: TdxCollateral, member: str, value: object) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        parse(msgspec.structs.replace(collateral, **{member: value}))
    assert refusal.value.check == "collateral.format"
