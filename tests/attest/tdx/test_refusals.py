"""Each sentence of the verifying library, provoked where evidence can provoke it, is mapped to the check that is about it."""

import json
from collections.abc import Callable
from typing import Any

import dcap_qvl
import msgspec
import pytest

from ollm.attest.checks import CHECKS
from ollm.attest.tdx.refusals import CATCH_ALL, TABLE, refusal
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.sim.quote import ecdsa_raw
from tests.sim.hardware import NOW, REPORT_DATA, FrozenClock, library_collateral

PREFIX = "Verification failed: "
STRANGER = SimulatedMachine(create_pki(NOW), FrozenClock())


def test_every_target_is_a_check_that_exists() -> None:
    assert {check for _, check in TABLE} <= set(CHECKS)
    assert CATCH_ALL in CHECKS


def test_no_entry_hides_a_later_one() -> None:
    beginnings = [beginning for beginning, _ in TABLE]
    for at, beginning in enumerate(beginnings):
        hidden = [later for later in beginnings[at + 1 :] if later.startswith(beginning)]
        assert not hidden, f"{beginning!r} hides {hidden}"


@pytest.mark.parametrize(("beginning", "check"), TABLE)
def test_a_sentence_is_mapped_by_its_beginning(beginning: str, check: str) -> None:
    assert refusal(f"{PREFIX}{beginning} and more\n\nCaused by:\n    something").check == check


def test_a_sentence_that_nobody_knows_is_refused_all_the_same() -> None:
    assert refusal("Something new").check == CATCH_ALL
    assert refusal("").check == CATCH_ALL


def test_long_sentences_are_cut() -> None:
    assert len(refusal(PREFIX + "x" * 10_000).got) < 200


# Provoked on the library itself: the table stands on what it says, not on what we remember.


def _quote(change: Callable[[bytearray], object]) -> Callable[[SimulatedMachine, dict[str, Any]], bytes]:
    def changed(machine: SimulatedMachine, collateral: dict[str, Any]) -> bytes:
        quote = bytearray(machine.quote(REPORT_DATA))
        change(quote)
        return bytes(quote)

    return changed


def _flip(offset: int) -> Callable[[SimulatedMachine, dict[str, Any]], bytes]:
    return _quote(lambda quote: quote.__setitem__(offset, quote[offset] ^ 1))


def _state(**members: bytes) -> Callable[[SimulatedMachine, dict[str, Any]], bytes]:
    return lambda machine, collateral: machine.quote_report(msgspec.structs.replace(machine.td_report, **members))


def _with(**members: Any) -> Callable[[SimulatedMachine, dict[str, Any]], None]:
    return lambda machine, collateral: collateral.update(members)


def _of_stranger(*members: str) -> Callable[[SimulatedMachine, dict[str, Any]], None]:
    def change(machine: SimulatedMachine, collateral: dict[str, Any]) -> None:
        foreign = msgspec.structs.asdict(STRANGER.collateral())
        collateral.update({member: foreign[member] for member in members})

    return change


def _signed(member: str, **members: Any) -> Callable[[SimulatedMachine, dict[str, Any]], None]:
    """The document `member` with other members, signed again by the simulated vendor; None leaves one out."""

    def change(machine: SimulatedMachine, collateral: dict[str, Any]) -> None:
        document = {**json.loads(collateral[member]), **members}
        text = json.dumps({name: value for name, value in document.items() if value is not None})
        collateral[member] = text
        collateral[f"{member}_signature"] = ecdsa_raw(machine.pki.tcb_signing.key, text.encode())

    return change


PROVOKED: dict[str, tuple[str, Callable[[SimulatedMachine, dict[str, Any]], bytes | None]]] = {
    "empty quote": ("quote.format", lambda machine, collateral: b""),
    "other attestation key type": ("quote.format", _quote(lambda quote: quote.__setitem__(2, 3))),
    "other QE vendor": ("quote.header", _flip(12)),
    "other inner type": ("quote.certification_data", _quote(lambda quote: quote.__setitem__(1252, 6))),
    "no chain": ("quote.certification_data", _quote(lambda quote: quote.__setitem__(slice(1258, None), b" " * (len(quote) - 1258)))),
    "debug": ("quote.debug", _state(td_attributes=bytes.fromhex("0100001000000000"))),
    "exceptions": ("quote.sept_ve_disable", _state(td_attributes=bytes(8))),
    "reserved": ("quote.reserved_attributes", _state(td_attributes=bytes.fromhex("0200001000000000"))),
    "profiling": ("quote.reserved_attributes", _state(td_attributes=bytes.fromhex("1000001000000000"))),
    "service TD extension": ("quote.reserved_attributes", _state(td_attributes=bytes.fromhex("0000021000000000"))),
    "migratable": ("quote.migratable", _state(td_attributes=bytes.fromhex("0000003000000000"))),
    "service TD": ("quote.service_td", lambda machine, _: machine.quote_report(machine.td_report, version=5, mr_service_td=b"\x01" * 48)),
    "module signer": ("quote.seam_signer", _state(mr_signer_seam=b"\x01" * 48)),
    "foreign PCK CRL": ("chain.pck", _of_stranger("pck_crl")),
    "no PCK CRL": ("chain.revocation", _with(pck_crl=b"")),
    "foreign root CRL": ("chain.revocation", _of_stranger("root_ca_crl")),
    "foreign TCB signer": ("chain.pck", _of_stranger("tcb_info_issuer_chain")),
    "no TCB signer": ("chain.tcb_signing", _with(tcb_info_issuer_chain="")),
    "no QE identity signer": ("chain.tcb_signing", _with(qe_identity_issuer_chain="")),
    "TCB info expired": ("collateral.validity", _signed("tcb_info", nextUpdate="2020-01-01T00:00:00Z")),
    "TCB info from the future": ("collateral.validity", _signed("tcb_info", issueDate="2040-01-01T00:00:00Z")),
    "QE identity expired": ("collateral.validity", _signed("qe_identity", nextUpdate="2020-01-01T00:00:00Z")),
    "QE identity from the future": ("collateral.validity", _signed("qe_identity", issueDate="2040-01-01T00:00:00Z")),
    "dates that are none": ("collateral.format", _signed("tcb_info", issueDate="yesterday")),
    "TCB info without levels": ("collateral.format", _signed("tcb_info", tcbLevels=None)),
    "QE identity without signer": ("collateral.format", _signed("qe_identity", mrsigner=None)),
    "TCB info of SGX": ("tcb.info", _signed("tcb_info", id="SGX")),
    "TCB info of another family": ("tcb.info", _signed("tcb_info", fmspc="000000000000")),
    "TCB info unsigned": ("tcb.info", _with(tcb_info_signature=bytes(64))),
    "TCB info signature cut": ("tcb.info", _with(tcb_info_signature=bytes(10))),
    "QE identity unsigned": ("tcb.qe_identity", _with(qe_identity_signature=bytes(64))),
    "QE identity of SGX": ("tcb.qe_identity", _signed("qe_identity", id="QE")),
    "QE of another signer": ("tcb.qe_identity", _signed("qe_identity", mrsigner="AA" * 32)),
    "QE of another product": ("tcb.qe_identity", _signed("qe_identity", isvprodid=9)),
    "QE with other attributes": ("tcb.qe_identity", _signed("qe_identity", attributes="13" + "00" * 15)),
    "QE with other features": ("tcb.qe_identity", _signed("qe_identity", miscselect="01000000")),
    "QE report changed": ("quote.signature", _flip(800)),
    "attestation key changed": ("quote.signature", _flip(710)),
    "TD report changed": ("quote.signature", _flip(600)),
    "no TCB level": ("tcb.level", _signed("tcb_info", tcbLevels=[])),
    "unknown module": ("tcb.level", _signed("tcb_info", tdxModuleIdentities=[])),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROVOKED)
def test_what_the_library_says_is_known(machine: SimulatedMachine, kind: str) -> None:
    check, change = PROVOKED[kind]
    collateral = msgspec.structs.asdict(machine.collateral())
    quote = change(machine, collateral) or (b"" if kind == "empty quote" else machine.quote(REPORT_DATA))

    with pytest.raises(ValueError, match=r"^Verification failed: ") as raised:
        dcap_qvl.QuoteVerifier(machine.pki.root_der).verify_with_policy(
            quote, dcap_qvl.QuoteCollateralV3(**collateral), NOW, dcap_qvl.QuotePolicy.claims_only(NOW)
        )

    assert refusal(str(raised.value)).check == check, raised.value


@pytest.mark.parametrize("status", ["Revoked", "TDRelaunchAdvised"])
def test_statuses_that_the_library_itself_refuses(machine: SimulatedMachine, status: str) -> None:
    collateral = msgspec.structs.asdict(machine.collateral())
    levels = json.loads(collateral["tcb_info"])["tcbLevels"]
    for level in levels:
        level["tcbStatus"] = status
    _signed("tcb_info", tcbLevels=levels)(machine, collateral)

    with pytest.raises(ValueError) as raised:
        dcap_qvl.QuoteVerifier(machine.pki.root_der).verify_with_policy(
            machine.quote(REPORT_DATA), dcap_qvl.QuoteCollateralV3(**collateral), NOW, dcap_qvl.QuotePolicy.claims_only(NOW)
        )

    assert refusal(str(raised.value)).check == "tcb.status"


def test_a_root_that_is_none_is_refused_by_name(machine: SimulatedMachine) -> None:
    with pytest.raises(ValueError) as raised:
        dcap_qvl.QuoteVerifier(b"root").verify_with_policy(
            machine.quote(REPORT_DATA), library_collateral(machine.collateral()), NOW, dcap_qvl.QuotePolicy.claims_only(NOW)
        )

    assert refusal(str(raised.value)).check == "chain.root"
