"""Claims assert what was proven and nothing else."""

from typing import Any

from ollm.attest import claims
from ollm.attest.facts import CpuFacts, DeviceFacts
from ollm.values.checks import UNKNOWN, Claim, Claims
from ollm.values.hexes import Hex32
from ollm.values.policy import TdxReferenceValues

REGISTER = "00" * 48
COMPLETE = TdxReferenceValues(name="build 7", source="", mrtd=REGISTER, rtmr0=REGISTER, rtmr1=REGISTER, rtmr2=REGISTER)
PARTIAL = TdxReferenceValues(name="kernel only", source="", mrtd=REGISTER, rtmr1=REGISTER, rtmr2=REGISTER)


def test_a_cpu_report_alone_makes_no_claim_about_software() -> None:
    facts = CpuFacts(
        technology="tdx",
        identity=Hex32("11" * 32),
        report_data=bytes(64),
        attested=Claim("asserted", "hardware_proven", "verified"),
        tcb=Claim("refuted", "hardware_proven", "OutOfDate"),
        facts={"fmspc": "00A06D080000"},
        valid_until=0,
    )

    found = claims.cpu_claims(facts)

    assert (found.tee_attested, found.tcb_up_to_date, found.extra) == (facts.attested, facts.tcb, facts.facts)
    assert found.gpu_attested == found.os_known_good == found.serving_software_known_good == found.model_weights_provenance == UNKNOWN


def test_a_known_os_makes_known_software() -> None:
    found = claims.service_claims(Claims(), (PARTIAL, COMPLETE), "11" * 32, COMPLETE, simulated=False)

    assert found.os_known_good == Claim("asserted", "verifier_derived", "measurements equal the reference values: build 7")
    assert found.serving_software_known_good == Claim("asserted", "verifier_derived", "app-compose listed in the reference values: build 7")
    assert found.extra == {"compose_hash": "11" * 32}


def test_what_the_logs_prove_is_told_beside_what_the_report_says() -> None:
    base = Claims(extra={"mrtd": REGISTER})

    assert claims.service_claims(base, (COMPLETE,), None, None, simulated=False, facts={"secure_boot": "on"}).extra == {
        "mrtd": REGISTER,
        "secure_boot": "on",
    }


def test_a_register_left_out_leaves_os_and_software_unknown() -> None:
    found = claims.service_claims(Claims(), (PARTIAL,), "11" * 32, PARTIAL, simulated=False)

    assert found.os_known_good == found.serving_software_known_good == UNKNOWN


def device(number: int, **members: Any) -> DeviceFacts:
    facts = {"kind": "gpu", "model": "Hopper", "identity": Hex32(f"{number:064x}"), "device_id": f"{number:x}", "nonce": bytes(32), "valid_until": 0}
    return DeviceFacts(**{**facts, **members})


def test_what_devices_prove_is_counted_and_what_they_do_not_is_said() -> None:
    found = claims.with_devices(Claims(), (device(1), device(2), device(3, kind="switch", model="LS10")), simulated=False)

    words = "2 gpu and 1 switch: hardware reports verified to NVIDIA's root; not bound to the machine beyond a shared nonce"
    assert found.gpu_attested == Claim("asserted", "hardware_proven", words)
    assert [found.extra[f"device{index}_model"] for index in range(3)] == ["Hopper", "Hopper", "LS10"]
    assert "the GPUs sit in the machine" in found.extra["unproven"]


def test_a_services_word_about_one_device_makes_it_the_services_word_about_all() -> None:
    found = claims.with_devices(Claims(), (device(1), device(2, by="nras")), simulated=False).gpu_attested

    assert (found.status, found.source) == ("asserted", "verifier_derived")
    assert "as NVIDIA's attestation service says" in found.reason


def test_simulated_devices_are_refuted_and_none_are_unknown() -> None:
    assert claims.with_devices(Claims(), (device(1),), simulated=True).gpu_attested == Claim("refuted", "verifier_derived", "simulated")
    alone = claims.with_devices(Claims(), (), simulated=False)
    assert alone.gpu_attested == UNKNOWN
    assert "the GPUs sit" not in alone.extra["unproven"]


def test_without_a_compose_file_the_software_is_unknown() -> None:
    found = claims.service_claims(Claims(), (COMPLETE,), None, None, simulated=True)

    assert found.os_known_good.reason == "measurements equal the reference values (on simulated hardware): build 7"
    assert found.serving_software_known_good == UNKNOWN
    assert found.extra == {}
