"""Each broken machine is broken in the way its name says, and in no other."""

import hashlib

import msgspec
import pytest

from ollm.attest.appraise import appraise
from ollm.sim.breaks import BREAKS
from ollm.sim.broken import BrokenMachine
from ollm.sim.machine import Hardware, SimulatedMachine
from ollm.sim.reference import policy
from ollm.values.checks import Appraisal
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxPolicy
from tests.sim.hardware import NOW, REPORT_DATA, aci_evidence, library_verdict

# dcap-qvl's own words for what it refuses. "UpToDate" are defects that it doesn't see: the checks of our own must.
LIBRARY = {
    "truncated-quote": "Failed to decode quote",
    "trailing-bytes": "UpToDate",
    "malformed-quote-header": "Unknown QE vendor ID",
    "malformed-certification-data": "UpToDate",
    "bad-quote-signature": "ISV enclave report signature is invalid",
    "bad-qe-signature": "Signature is invalid for qe_report in quote",
    "debug-bit": "Debug mode is enabled",
    "sept-ve-disable-clear": "SEPT_VE_DISABLE is not enabled",
    "reserved-attributes": "Reserved bits in TD attributes are set",
    "unknown-cpu-state": "UpToDate",
    "migratable-td": "TD migration is enabled",
    "service-td": "Invalid MR service TD",
    "seam-signer": "TDX module identity check",
    "module-downgraded": "UpToDate",
    "cached-keys": "UpToDate",
    "unmarked-leaf": "UpToDate",
    "forged-root": "Failed to parse root CA CRL",
    "expired-pck": "Failed to verify certificate chain",
    "revoked-pck": "Failed to verify certificate chain",
    "revoked-ca": "Failed to verify certificate chain",
    "revoked-tcb-signer": "Failed to verify certificate chain",
    "tcb-out-of-date": "TCB status OutOfDate is not acceptable by policy",
    "tcb-below-every-level": "No matching TCB level found",
    "tcb-revoked": "TCB status is invalid: Revoked",
    "qe-out-of-date": "TCB status OutOfDate is not acceptable by policy",
    "module-out-of-date": "TCB status OutOfDate is not acceptable by policy",
    "module-unknown": "TDX module TCB level check",
    "no-collateral": "Failed to",
    "malformed-collateral": "Failed to decode TcbInfo",
    "stale-collateral": "TCBInfo expired",
    "collateral-from-future": "TCBInfo issue date is in the future",
    "stale-crl": "CrlExpired",
    "crl-from-future": "UpToDate",
    "foreign-tcb-signer": "Failed to verify certificate chain",
    "tcb-info-forged": "Signature is invalid for tcb_info in quote_collateral",
    "tcb-info-of-other-family": "Fmspc mismatch",
    "qe-identity-forged": "Signature is invalid for qe_identity in quote_collateral",
    "qe-identity-wrong": "QE MRSIGNER mismatch",
    "qe-identity-of-sgx": "Unsupported QE Identity",
    "advisory-rejected": "UpToDate",
    "evaluation-number-low": "UpToDate",
    "event-log-missing": "UpToDate",
    "malformed-event-log": "UpToDate",
    "event-digest-missing": "UpToDate",
    "event-log-broken": "UpToDate",
    "event-payload-changed": "UpToDate",
    "event-log-relabelled": "UpToDate",
    "compose-hash-twice": "UpToDate",
    "compose-hash-late": "UpToDate",
    "compose-missing": "UpToDate",
    "compose-mismatch": "UpToDate",
    "compose-written-again": "UpToDate",
    "mr-config-id-mismatch": "UpToDate",
    "mr-config-id-unknown": "UpToDate",
    "compose-unknown": "UpToDate",
    "unknown-measurement": "UpToDate",
}


def appraised(machine: Hardware, accepted: AttestationPolicy) -> Appraisal:
    return appraise(aci_evidence(machine), machine.collateral(), accepted, NOW, require_hpke=False)[0]


def test_the_policy_of_its_installation_accepts_a_genuine_machine(machine: SimulatedMachine) -> None:
    appraisal = appraised(machine, policy([machine]))
    assert (appraisal.failure, appraisal.accepted) == (None, True)
    assert appraisal.level is Level.SIMULATED


def test_a_policy_for_hardware_refuses_a_genuine_simulated_machine(machine: SimulatedMachine) -> None:
    for_hardware = msgspec.structs.replace(policy([machine]), level=Level.TEE, tdx=TdxPolicy())
    failure = appraised(machine, for_hardware).failure
    assert failure is not None and failure.name == "platform.marker"


@pytest.mark.parametrize("kind", LIBRARY)
def test_appraisal_refuses_each_defect_by_its_own_check(machine: SimulatedMachine, kind: str) -> None:
    failure = appraised(BrokenMachine(machine, kind), policy([machine])).failure
    assert failure is not None
    assert failure.name in BREAKS[kind].checks, failure


def test_there_is_a_broken_machine_for_every_defect_of_the_hardware() -> None:
    assert LIBRARY.keys() == {kind for kind, entry in BREAKS.items() if entry.layer == "hardware"}


@pytest.mark.parametrize("kind", LIBRARY)
def test_the_verifying_library_sees_this_defect_and_no_other(machine: SimulatedMachine, kind: str) -> None:
    verdict = library_verdict(BrokenMachine(machine, kind), machine.pki.root_der)
    assert verdict.startswith(LIBRARY[kind])


@pytest.mark.parametrize("kind", LIBRARY)
def test_the_genuine_machine_stays_genuine(machine: SimulatedMachine, kind: str) -> None:
    BrokenMachine(machine, kind)
    assert library_verdict(machine, machine.pki.root_der) == "UpToDate"


@pytest.mark.parametrize("kind", ["spki-mismatch", "wrong-nonce", "no-such-defect"])
def test_what_is_no_defect_of_the_hardware_is_refused(machine: SimulatedMachine, kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        BrokenMachine(machine, kind)


def quoted_rtmr3(broken: BrokenMachine) -> bytes:
    return broken.quote(REPORT_DATA)[520:568]


def replayed_rtmr3(broken: BrokenMachine) -> bytes:
    register = bytes(48)
    for event in msgspec.json.decode(broken.event_log_json):
        if event["imr"] == 3:
            register = hashlib.sha384(register + bytes.fromhex(event["digest"])).digest()
    return register


@pytest.mark.parametrize("kind", ["event-log-relabelled", "event-payload-changed", "compose-hash-twice", "compose-hash-late", "compose-unknown"])
def test_the_digests_of_a_clever_log_still_replay(machine: SimulatedMachine, kind: str) -> None:
    broken = BrokenMachine(machine, kind)
    assert replayed_rtmr3(broken) == quoted_rtmr3(broken)


def test_a_broken_log_tells_another_story_than_the_quote(machine: SimulatedMachine) -> None:
    broken = BrokenMachine(machine, "event-log-broken")
    assert broken.event_log_json != machine.event_log_json
    assert broken.quote(REPORT_DATA)[:632] == machine.quote(REPORT_DATA)[:632]


def test_a_mismatched_compose_file_is_the_accepted_one_while_another_was_measured(machine: SimulatedMachine) -> None:
    broken = BrokenMachine(machine, "compose-mismatch")
    assert broken.app_compose == machine.app_compose
    assert quoted_rtmr3(broken) != machine.td_report.rtmr3


def test_an_agent_of_a_broken_machine_tells_the_same_lie(machine: SimulatedMachine) -> None:
    broken = BrokenMachine(machine, "compose-missing")
    assert msgspec.json.decode(broken.info()["tcb_info"])["app_compose"] == ""
    assert broken.vm_config == machine.vm_config


def test_a_silent_service_knows_nobody(machine: SimulatedMachine) -> None:
    broken = BrokenMachine(machine, "no-collateral")
    paths = {"/tdx/certification/v4/tcb": {"fmspc": "53494D000000"}, "/tdx/certification/v4/qe/identity": {}, "/IntelSGXRootCA.der": {}}
    assert [broken.pcs_answer(path, query)[0] for path, query in paths.items()] == [404, 404, 404]


def test_the_collateral_paths_serve_the_defect_too(machine: SimulatedMachine) -> None:
    path, query = "/tdx/certification/v4/tcb", {"fmspc": "53494D000000"}
    assert (
        msgspec.json.decode(BrokenMachine(machine, "stale-collateral").pcs_answer(path, query)[2])["tcbInfo"]["nextUpdate"] == "2027-01-14T08:00:00Z"
    )
    assert msgspec.json.decode(machine.pcs_answer(path, query)[2])["tcbInfo"]["nextUpdate"] == "2027-02-14T07:55:00Z"
