"""Claims assert what was proven and nothing else."""

from ollm.attest import claims
from ollm.attest.facts import CpuFacts
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


def test_without_a_compose_file_the_software_is_unknown() -> None:
    found = claims.service_claims(Claims(), (COMPLETE,), None, None, simulated=True)

    assert found.os_known_good.reason == "measurements equal the reference values (on simulated hardware): build 7"
    assert found.serving_software_known_good == UNKNOWN
    assert found.extra == {}
