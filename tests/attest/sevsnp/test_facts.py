"""What is said of an accepted machine: nothing that its checks did not prove."""

from datetime import date

import pytest

from ollm.attest.facts import CpuFacts
from ollm.attest.sevsnp.endorsement import read_endorsement
from ollm.attest.sevsnp.facts import cpu_facts
from ollm.attest.sevsnp.layout import parse_report
from ollm.attest.sevsnp.product import read_tcbs
from ollm.testing.mint.snp import TCB, SnpMachine
from ollm.values.checks import UNKNOWN, Claim
from ollm.values.policy import SnpGrace, SnpPolicy
from tests.attest.sevsnp.machines import machine

GRACE = SnpGrace(product="Genoa", min_tcb=TCB, until=date(2027, 2, 1), reason="TCB recovery")
MILAN_WARNING = "AMD Milan: a published work (arXiv 2605.12990) says that software can extract these chips' keys, with which any report can be forged"


def facts(each: SnpMachine, policy: SnpPolicy, *, grace: SnpGrace | None = None, crl: bool = True, **changes: object) -> CpuFacts:
    report, leaf = parse_report(each.report(**changes)), read_endorsement(each.leaf())
    return cpu_facts(report, leaf, read_tcbs(report, leaf.product), policy, grace=grace, matching=(), valid_until=7, revocation_checked=crl)


def test_an_amd_machine() -> None:
    genoa = machine()
    found = facts(genoa, SnpPolicy(), report_data=bytes(range(64)))

    assert found.technology == "sev-snp"
    assert found.identity == parse_report(genoa.report(report_data=bytes(range(64)))).identity
    assert found.report_data == bytes(range(64))
    assert found.hardware_id == genoa.chip_id.hex()
    assert found.attested == Claim("asserted", "hardware_proven", "AMD SEV-SNP report verified to AMD's root")
    assert found.valid_until == 7
    assert found.warnings == ()
    text = "bootloader 4, tee 0, snp 24, microcode 219"
    assert found.facts == {
        "product": "Genoa",
        "signing_key": "vcek",
        "report_version": "5",
        "measurement": "a1" * 48,
        "host_data": "00" * 32,
        "id_key_digest": "00" * 48,
        "author_key_digest": "00" * 48,
        "guest_svn": "0",
        "guest_policy": "0x30000",
        "vmpl": "0",
        **dict.fromkeys(("reported_tcb", "committed_tcb", "launch_tcb", "current_tcb"), text),
        "platform_info": "0x25 smt ecc alias_check_complete",
        "mitigations": "launch 0x1, current 0x1",
    }


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (0, "0x0"),
        (0b11111, "0x1f smt tsme ecc rapl_disabled ciphertext_hiding"),
        (0b11100000, "0xe0 alias_check_complete tio"),
        (1 << 6, "0x40"),  # a genuine Turin sets it
        (1 << 63, "0x8000000000000000"),
    ],
)
def test_platform_bits_are_told_known_or_not(bits: int, said: str) -> None:
    assert facts(machine(), SnpPolicy(), platform_info=bits).facts["platform_info"] == said


def test_older_reports_have_no_mitigations() -> None:
    assert "mitigations" not in facts(machine(), SnpPolicy(), version=3).facts


def test_a_providers_key_names_the_provider_and_no_chip() -> None:
    found = facts(machine(vlek=True), SnpPolicy())

    assert found.facts["csp_id"] == "CN=cc-simulated.invalid"
    assert found.hardware_id is None


def test_simulated_hardware_is_refuted_and_its_firmware_says_nothing() -> None:
    found = facts(machine(), machine().policy(min_tcb={"Genoa": TCB}))

    assert found.attested == Claim("refuted", "verifier_derived", "simulated")
    assert found.tcb == UNKNOWN


def test_firmware_is_called_good_only_against_a_minimum() -> None:
    lowest = "lowest of reported, committed, launch and current: bootloader 4, tee 0, snp 24, microcode 219"
    policy = SnpPolicy(min_tcb={"Genoa": TCB})

    assert facts(machine(), SnpPolicy(min_tcb={"Milan": TCB})).tcb == UNKNOWN
    assert facts(machine(), policy).tcb == Claim("asserted", "verifier_derived", f"at least the policy's minimum; {lowest}")
    assert facts(machine(), policy, grace=GRACE).tcb == Claim(
        "refuted", "verifier_derived", f"below the policy's minimum, within its grace; {lowest}"
    )


def test_warnings() -> None:
    assert facts(machine("Milan"), SnpPolicy()).warnings == (MILAN_WARNING,)
    assert facts(machine("Milan"), SnpPolicy(warned_products=())).warnings == ()
    assert facts(machine(), SnpPolicy(warned_products=("Genoa",))).warnings == ("AMD Genoa: the policy warns of this product line",)
    assert facts(machine(), SnpPolicy(), grace=GRACE).warnings == (
        "AMD Genoa: firmware below the policy's minimum, accepted until 2027-02-01 (TCB recovery)",
    )
    assert facts(machine(), SnpPolicy(), crl=False).warnings == ("AMD Genoa: no CRL was there, so revocation was not checked",)


def test_matching_values_are_handed_on() -> None:
    values, report, leaf = machine().reference_values(), parse_report(machine().report()), read_endorsement(machine().leaf())
    found = cpu_facts(report, leaf, read_tcbs(report, "Genoa"), SnpPolicy(), grace=None, matching=(values,), valid_until=7, revocation_checked=True)

    assert found.matching == (values,)
