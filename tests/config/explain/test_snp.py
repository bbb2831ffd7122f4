"""What is said of SEV-SNP policies: how bad each open point is."""

from typing import Any

from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, SnpGrace, SnpPolicy, SnpReferenceValues, SnpTcb
from tests.config.explain.saying import exposes, holds, notes, nothing, weakens
from tests.config.samples import LATER, REGISTER, TODAY


def snp(**fields: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, cpu=("sev-snp",), snp=SnpPolicy(**fields))


def test_milan_is_warned_of() -> None:
    assert "Milan is accepted: published work extracts signing keys" in weakens(snp(), "snp.products")
    assert not weakens(snp(products=("Genoa", "Turin")), "snp.products")
    assert nothing(snp(products=()), "snp.products") == "it lists no product line of AMD's"
    assert "carries a warning" in holds(snp(), "snp.warned_products")
    assert "no acceptance carries a warning" in notes(snp(products=("Genoa",)), "snp.warned_products")


def test_no_least_firmware_exposes() -> None:
    assert "no least firmware for Milan and Genoa and Turin" in exposes(snp(), "snp.min_tcb")
    floor = snp(products=("Turin",), min_tcb={"Turin": SnpTcb(fmc=1, snp=4, microcode=80)})
    assert "firmware of Turin is at least bootloader 0, tee 0, snp 4, microcode 80, fmc 1" in holds(floor, "snp.min_tcb")
    assert not exposes(floor, "snp.min_tcb")
    assert "0 in every part" in exposes(snp(products=("Genoa",), min_tcb={"Genoa": SnpTcb()}), "snp.min_tcb")
    assert "fmc" not in holds(snp(products=("Genoa",), min_tcb={"Genoa": SnpTcb(snp=1)}), "snp.min_tcb")


def test_a_grace_that_runs_and_one_that_is_over() -> None:
    def graceful(until: Any) -> AttestationPolicy:
        return snp(grace=(SnpGrace(product="Genoa", min_tcb=SnpTcb(snp=3), until=until, reason="update"),))

    assert "older firmware of Genoa (bootloader 0, tee 0, snp 3, microcode 0) is accepted until 2027-01-01 (update)" in exposes(
        graceful(LATER), "snp.grace"
    )
    assert "ended on 2026-11-23 and has no effect any more (update)" in holds(graceful(TODAY), "snp.grace")
    assert holds(snp(), "snp.grace") == "no older firmware has a grace period"


def test_keys_of_providers() -> None:
    assert "the chip's own key (VCEK)" in holds(snp(), "snp.allow_vlek")
    lent = snp(allow_vlek=True, vlek_csp_ids=("CN=cc-us-east-2.amazonaws.com",))
    assert "they name the provider, and no chip" in weakens(lent, "snp.allow_vlek")
    assert "CN=cc-us-east-2.amazonaws.com" in holds(lent, "snp.vlek_csp_ids")


def test_privilege_levels() -> None:
    assert holds(snp(), "snp.vmpls") == "the report was asked for at VMPL 0"
    assert not weakens(snp(), "snp.vmpls")
    assert weakens(snp(vmpls=(0, 1)), "snp.vmpls")
    assert nothing(snp(vmpls=()), "snp.vmpls")


def test_what_the_guest_allows_its_host() -> None:
    assert "a machine that nobody attested" in exposes(snp(allow_migration_agent=True), "snp.allow_migration_agent")
    assert "sibling thread" in weakens(snp(), "snp.allow_smt")
    assert "revoked" in weakens(snp(require_crl=False), "snp.require_crl")
    assert "span sockets" in notes(snp(), "snp.require_single_socket")


def test_machines() -> None:
    assert "any genuine AMD machine" in weakens(snp(), "snp.chips")
    assert nothing(snp(chips=()), "snp.chips") == "its list of chips is empty"
    assert "by chip id: 0f0f0f0f0f0f…" in holds(snp(chips=("0f" * 64,)), "snp.chips")


def test_reference_values() -> None:
    policy = snp(reference_values=(SnpReferenceValues(name="b", source="s", measurement=REGISTER),))
    assert "the launch digest is 1a1a1a1a1a1a1a1a…" in holds(policy, "snp.reference_values.measurement")
    assert "never what is loaded later" in notes(policy, "snp.reference_values.measurement")
    assert "HOSTDATA is not compared" in weakens(policy, "snp.reference_values.host_data")
    assert nothing(snp(), "snp.reference_values") == "it lists no reference values"
