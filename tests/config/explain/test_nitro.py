"""What is said of Nitro policies."""

from typing import Any

from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NitroPolicy, NitroReferenceValues
from tests.config.explain.saying import holds, notes, nothing, weakens
from tests.config.samples import REGISTER


def nitro(**fields: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, cpu=("nitro",), nitro=NitroPolicy(**fields))


def test_documents() -> None:
    assert "debug enclaves are refused" in holds(nitro(), "nitro.simulated_root_sha256")
    assert holds(nitro(), "nitro.max_age_seconds") == "the document is at most 10 minutes old, by the hypervisor's clock"


def test_instances() -> None:
    assert "any instance of any AWS account" in weakens(nitro(), "nitro.modules")
    assert nothing(nitro(modules=()), "nitro.modules") == "its list of instances is empty"
    assert "one of 1 known instances: i-0123456789abcdef0" in holds(nitro(modules=("i-0123456789abcdef0",)), "nitro.modules")


def test_registers_beyond_the_image_are_notes() -> None:
    policy = nitro(reference_values=(NitroReferenceValues(name="b", source="s", pcr0=REGISTER, pcr8=REGISTER),))
    assert "PCR0 is 1a1a1a1a1a1a1a1a…: the whole enclave image" in holds(policy, "nitro.reference_values.pcr0")
    assert "PCR8 is" in holds(policy, "nitro.reference_values.pcr8")
    assert "PCR3 is not compared. It measures the IAM role" in notes(policy, "nitro.reference_values.pcr3")
    assert not weakens(policy, "nitro.reference_values")
