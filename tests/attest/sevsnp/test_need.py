"""What is to be fetched from AMD for a report."""

import pytest

from ollm.attest.sevsnp.need import collateral_need
from ollm.values.policy import SnpTcb
from tests.attest.sevsnp.machines import machine, raises


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
def test_the_cpu_says_which_product(product: str) -> None:
    each = machine(product)
    need = collateral_need(each.report())

    assert (need.product, need.products) == (product, (product,))
    assert need.chip_id == (each.chip_id[:8] if product == "Turin" else each.chip_id).hex()
    assert need.signing_key == "vcek"
    assert need.reported_tcb == each.tcb
    assert need.tcb(product) == SnpTcb(bootloader=4, snp=24, microcode=219)


@pytest.mark.parametrize(("product", "candidates"), [("Milan", ("Milan", "Genoa")), ("Genoa", ("Milan", "Genoa")), ("Turin", ("Turin",))])
def test_a_report_of_version_2_leaves_the_product_open(product: str, candidates: tuple[str, ...]) -> None:
    each = machine(product)
    need = collateral_need(each.report(version=2))

    assert need.product is None
    assert need.products == candidates
    assert len(need.chip_id) == (16 if product == "Turin" else 128)


def test_a_providers_key_with_a_masked_chip() -> None:
    need = collateral_need(machine(vlek=True).report(version=2))

    assert (need.product, need.products) == (None, ("Milan", "Genoa"))
    assert need.chip_id == "00" * 64
    assert need.signing_key == "vlek"


@pytest.mark.parametrize("signing_key", [2, 7])
def test_a_report_that_is_not_signed_needs_nothing(signing_key: int) -> None:
    with raises("snp.signing_key", str(signing_key)):
        collateral_need(machine().report(flags=signing_key << 2))


def test_an_unknown_cpu_is_refused() -> None:
    with raises("snp.product", "family 0x1a, model 0x50"):
        collateral_need(machine().report(cpuid=(0x1A, 0x50, 0)))


def test_bytes_that_are_no_report_are_refused() -> None:
    with raises("snp.format"):
        collateral_need(b"")


def test_a_tcb_in_another_products_layout_is_refused() -> None:
    need = collateral_need(machine("Turin").report(reported_tcb=bytes((1, 1, 1, 1, 0, 0, 0, 1))))

    with raises("snp.tcb_format"):
        need.tcb("Milan")
