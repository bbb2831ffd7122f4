"""A summary for a list of models: what hardware vouches for, and nothing when none does."""

from typing import Any

import pytest

from ollm.attest.claims import with_devices
from ollm.attest.facts import DeviceFacts
from ollm.attest.summary import gpu, tee_types
from ollm.values.checks import Appraisal, Check, Claim, Claims, Outcome
from ollm.values.hexes import Hex32
from ollm.values.level import Level

ATTESTED = Claims(tee_attested=Claim("asserted", "hardware_proven", "verified to the vendor's root"))


def appraisal(*checks: str, claims: Claims = ATTESTED, failed: str | None = None) -> Appraisal:
    made = [Check(name, Outcome.PASSED) for name in checks]
    return Appraisal("p", Level.TEE, (*made, *([Check(failed, Outcome.FAILED)] if failed else [])), claims)


@pytest.mark.parametrize(
    ("checks", "types"),
    [
        (("quote.signature",), ("tdx",)),
        (("snp.signature",), ("sev-snp",)),
        (("nitro.signature",), ("nitro",)),
        (("snp.signature", "machine.technology", "quote.signature", "quote.signature"), ("tdx", "sev-snp")),
        (("report.format",), ()),
    ],
)
def test_a_technology_is_named_by_the_signature_that_was_verified(checks: tuple[str, ...], types: tuple[str, ...]) -> None:
    assert tee_types(appraisal(*checks)) == types


def test_what_hardware_does_not_attest_is_no_tee() -> None:
    for status in ("refuted", "unknown"):
        assert tee_types(appraisal("quote.signature", claims=Claims(tee_attested=Claim(status, "verifier_derived", "simulated")))) == ()


def test_a_refused_appraisal_says_nothing() -> None:
    refused = appraisal("quote.signature", failed="tcb.level")
    assert tee_types(refused) == ()
    assert gpu(refused) is None
    assert gpu(Appraisal("p", Level.TEE, ())) is None


def device(**members: Any) -> DeviceFacts:
    facts = {"kind": "gpu", "model": "Hopper", "identity": Hex32("11" * 32), "device_id": "1", "nonce": bytes(32), "valid_until": 0}
    return DeviceFacts(**{**facts, **members})


def test_each_device_is_listed_with_the_claim_about_all() -> None:
    claims = with_devices(ATTESTED, (device(), device(kind="switch", model="LS10", by="nras")), simulated=False)
    assert gpu(appraisal("quote.signature", claims=claims)) == {
        "status": "asserted",
        "source": "verifier_derived",
        "reason": "1 gpu and 1 switch: as NVIDIA's attestation service says; not bound to the machine beyond a shared nonce",
        "devices": [{"kind": "gpu", "model": "Hopper"}, {"kind": "switch", "model": "LS10"}],
    }


def test_a_gpu_that_nobody_looked_at_is_unknown() -> None:
    assert gpu(appraisal("quote.signature")) == {"status": "unknown", "devices": []}


def test_a_simulated_machine_has_no_tee() -> None:
    claims = with_devices(Claims(tee_attested=Claim("refuted", "verifier_derived", "simulated")), (device(),), simulated=True)
    found = appraisal("quote.signature", claims=claims)
    assert tee_types(found) == ()
    shown = gpu(found)
    assert shown is not None and shown["status"] == "refuted"
