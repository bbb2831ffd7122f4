"""Drafts from AWS Nitro documents."""

import pytest

from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, NitroEvidence
from ollm.attest.machine import appraise_machine
from ollm.config.draft import nitro as draft_nitro
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nitro
from tests.config.draft.reviewing import drafted, reviewed, tree
from tests.sim.hardware import NOW

HYPERVISOR = nitro.create_hypervisor(NOW)
EVIDENCE = NitroEvidence(document=HYPERVISOR.document(NOW))


def test_a_reviewed_draft_accepts_that_image_and_no_other() -> None:
    policy = reviewed(drafted(EVIDENCE))
    other = NitroEvidence(document=HYPERVISOR.document(NOW, pcrs={**nitro.PCRS, 2: b"\x77" * 48}))
    accepted, refused = (
        appraise_machine(MachineEvidence(cpu=each), MachineCollateral(cpu=None), policy, NOW, expected=Expected()) for each in (EVIDENCE, other)
    )
    assert accepted.accepted, accepted.failure
    assert refused.failure is not None
    assert refused.failure.name == "nitro.reference_values"


def test_what_belongs_to_one_instance_is_only_suggested() -> None:
    text = drafted(EVIDENCE)
    (values,) = tree(text)["nitro"]["reference_values"]
    assert set(values) == {"name", "source", "pcr0", "pcr1", "pcr2", "pcr3", "pcr8"}
    assert f'# pcr4 = "{nitro.PCRS[4].hex()}"' in text.splitlines()
    assert f'# modules = ["{nitro.INSTANCE}"]' in text.splitlines()


def test_simulated_or_real() -> None:
    rules = tree(drafted(EVIDENCE))
    assert (rules["level"], rules["nitro"]["simulated_root_sha256"]) == ("simulated", HYPERVISOR.root.sha256)
    unmarked = tree(drafted(NitroEvidence(document=nitro.create_hypervisor(NOW, marked=False).document(NOW))))
    assert unmarked["level"] == "tee"
    assert "simulated_root_sha256" not in unmarked["nitro"]


def test_a_debug_enclave_is_told_and_refused_when_loaded() -> None:
    text = drafted(NitroEvidence(document=HYPERVISOR.document(NOW, pcrs=nitro.DEBUG_PCRS)))
    assert "nitro.debug: got PCR0 (image) zero or absent" in text.replace("\n# ", " ")
    with pytest.raises(Exception, match="zeros for one of the first three PCRs"):
        reviewed(text)


def test_an_enclave_without_pcr0_has_no_image() -> None:
    with pytest.raises(EvidenceRefused, match="no PCR0"):
        draft_nitro.measured(NitroEvidence(document=HYPERVISOR.document(NOW, pcrs={1: b"\x01" * 48})))
