"""The steps of a Nitro enclave, from bytes to facts: what is accepted, what each defect is refused for, and that no byte can change."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.checks import Trail
from ollm.attest.evidence import NitroEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.nitro import checks
from ollm.attest.nitro.appraise import genuine_document, plan
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nitro import DEBUG_PCRS, INSTANCE, MODULE_ID, PCRS, create_hypervisor
from ollm.values.checks import UNKNOWN, Outcome
from ollm.values.policy import NitroPolicy, NitroReferenceValues
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

HYPERVISOR = create_hypervisor(NOW)
IMAGE = NitroReferenceValues(name="image", source="tests", pcr0=PCRS[0].hex())
POLICY = NitroPolicy(simulated_root_sha256=HYPERVISOR.root.sha256, reference_values=(IMAGE,))


def judged(document: bytes, policy: NitroPolicy = POLICY, now: int = NOW, *, compare: bool = True) -> CpuFacts:
    trail = Trail(plan(policy, compare=compare))
    facts = genuine_document(trail, NitroEvidence(document=document), policy, now, compare=compare)
    trail.completed()
    return facts


def failing(document: bytes, policy: NitroPolicy = POLICY, now: int = NOW) -> str | None:
    """The check that refuses."""
    check = refused_check(lambda: judged(document, policy, now))
    assert check is None or check in checks.CHECKS
    return check


def test_facts_of_an_accepted_enclave() -> None:
    facts = judged(HYPERVISOR.document(NOW, nonce=b"nonce", user_data=b"data", public_key=b"key"))

    assert (facts.technology, facts.report_data, facts.nonce, facts.public_key) == ("nitro", b"data", b"nonce", b"key")
    assert (facts.hardware_id, facts.matching, facts.tcb) == (INSTANCE, (IMAGE,), UNKNOWN)
    assert (facts.attested.status, facts.attested.reason) == ("refuted", "simulated")
    assert facts.facts["module_id"] == MODULE_ID
    assert facts.facts["pcr8"] == PCRS[8].hex()
    assert "pcr5" not in facts.facts  # zero: nothing was measured there
    assert facts.valid_until == NOW + POLICY.max_age_seconds


def test_nothing_stated_is_an_empty_statement() -> None:
    facts = judged(HYPERVISOR.document(NOW))
    assert (facts.report_data, facts.nonce, facts.public_key) == (b"", None, None)


def test_an_acceptance_ends_with_the_first_certificate() -> None:
    patient = msgspec.structs.replace(POLICY, max_age_seconds=10**6)
    assert judged(HYPERVISOR.document(NOW), patient).valid_until == NOW - 3 + 3 * 3600


def test_whether_software_is_compared_is_said_in_the_plan() -> None:
    strangers = msgspec.structs.replace(POLICY, reference_values=())
    assert judged(HYPERVISOR.document(NOW), strangers, compare=False).matching == ()
    assert plan(strangers) == tuple(checks.CHECKS)
    assert set(plan(strangers)) - set(plan(strangers, compare=False)) == {"nitro.reference_values"}
    assert failing(HYPERVISOR.document(NOW), strangers) == "nitro.reference_values"


DEFECTS = {
    "nitro.format": HYPERVISOR.document(NOW) + b"\x00",
    "nitro.algorithm": HYPERVISOR.document(NOW, header={1: -7}),
    "nitro.root": create_hypervisor(NOW).document(NOW),
    "platform.marker": create_hypervisor(NOW, root=HYPERVISOR.root, marked=False).document(NOW),
    "nitro.chain": create_hypervisor(NOW, root=HYPERVISOR.root, path_lengths=(0, 1, 0)).document(NOW),
    "nitro.validity": create_hypervisor(NOW, root=HYPERVISOR.root, start=NOW - 3 * 3600, lifetime=3600).document(NOW),
    "nitro.signature": HYPERVISOR.document(NOW)[:-1] + b"\x00",
    "nitro.debug": HYPERVISOR.document(NOW, pcrs=DEBUG_PCRS),
    "nitro.age": HYPERVISOR.document(NOW - POLICY.max_age_seconds - 1),
    "nitro.reference_values": HYPERVISOR.document(NOW, pcrs={**PCRS, 0: b"\x07" * 48}),
}


@pytest.mark.parametrize("check", DEFECTS)
def test_each_defect_is_refused_by_the_check_that_is_about_it(check: str) -> None:
    assert failing(DEFECTS[check]) == check


def test_more_defects_of_time() -> None:
    assert failing(create_hypervisor(NOW, root=HYPERVISOR.root, start=NOW + 1).document(NOW)) == "nitro.validity"
    assert failing(HYPERVISOR.document(NOW + 60)) == "nitro.age"


def test_a_machine_that_is_not_listed_is_refused() -> None:
    assert failing(HYPERVISOR.document(NOW), msgspec.structs.replace(POLICY, modules=("i-0",))) == "nitro.instance"


def test_simulated_and_vendors_hardware_never_meet() -> None:
    assert failing(HYPERVISOR.document(NOW), NitroPolicy()) == "nitro.root"


def test_a_replayed_nonce_is_in_the_facts_for_whoever_asked() -> None:
    assert judged(HYPERVISOR.document(NOW, nonce=b"old")).nonce == b"old"


def test_a_refusal_names_the_steps_before_it_as_passed() -> None:
    trail = Trail(plan(POLICY))
    with pytest.raises(EvidenceRefused) as raised:
        genuine_document(trail, NitroEvidence(document=DEFECTS["nitro.debug"]), POLICY, NOW)
    outcomes = {check.name: check.outcome for check in trail.refused(raised.value)}
    assert outcomes["nitro.signature"] is Outcome.PASSED
    assert outcomes["nitro.debug"] is Outcome.FAILED
    assert outcomes["nitro.age"] is Outcome.NOT_REACHED


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_no_flipped_byte_is_accepted(stride: int) -> None:
    document = HYPERVISOR.document(NOW, nonce=b"nonce", user_data=b"data", tagged=True)
    assert failing(document) is None
    for at in range(0, len(document), stride):
        for mask in (0x01, 0x80, 0xFF):
            assert failing(document[:at] + bytes([document[at] ^ mask]) + document[at + 1 :]) is not None, (at, mask)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3))
def test_only_our_refusal_escapes_for_bent_documents(edits: list[tuple[int, bytes]]) -> None:
    original = data = DEFECTS["nitro.debug"]
    for at, piece in edits:
        data = data[:at] + piece + data[at + len(piece) :]
    assert failing(data) is not None or data == original
