"""Product lines: named in two places, and each with its own layout of a TCB."""

import pytest

from ollm.attest.sevsnp import product
from ollm.attest.sevsnp.layout import CpuId, parse_report
from ollm.testing.mint.snp import tcb_bytes
from ollm.values.policy import SnpTcb
from tests.attest.sevsnp.machines import machine, raises

OLD, NEW = SnpTcb(bootloader=3, snp=8, microcode=115), SnpTcb(bootloader=4, snp=24, microcode=219)


@pytest.mark.parametrize(
    ("family", "model", "line"),
    [
        (0x19, 0x00, "Milan"),
        (0x19, 0x01, "Milan"),
        (0x19, 0x0F, "Milan"),
        (0x19, 0x10, "Genoa"),
        (0x19, 0x11, "Genoa"),
        (0x19, 0x1F, "Genoa"),
        (0x19, 0x20, None),  # a desktop CPU
        (0x19, 0x9F, None),
        (0x19, 0xA0, "Genoa"),
        (0x19, 0xAF, "Genoa"),
        (0x19, 0xB0, None),
        (0x1A, 0x00, "Turin"),
        (0x1A, 0x02, "Turin"),
        (0x1A, 0x11, "Turin"),
        (0x1A, 0x12, None),
        (0x17, 0x31, None),  # Rome has no SEV-SNP
        (0, 0, None),
    ],
)
def test_cpus(family: int, model: int, line: str | None) -> None:
    assert product.product_of_cpuid(CpuId(family, model, 1)) == line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Milan-B0", "Milan"),
        ("Milan", "Milan"),
        ("Genoa", "Genoa"),
        ("Genoa-B2", "Genoa"),
        ("Turin", "Turin"),
        ("", None),
        ("milan", None),
        ("Milan-", None),
        ("Milan-B0 ", None),
        ("Milan-B0\n", None),
        ("xMilan", None),
        ("Venice", None),
    ],
)
def test_names_in_certificates(name: str, line: str | None) -> None:
    assert product.product_of_name(name) == line


def test_each_line_has_its_own_layout() -> None:
    raw = bytes.fromhex("0102000000000304")

    assert product.read_tcb(raw, "Milan", "check") == product.read_tcb(raw, "Genoa", "check") == SnpTcb(bootloader=1, tee=2, snp=3, microcode=4)
    assert product.read_tcb(bytes.fromhex("0102030400000005"), "Turin", "check") == SnpTcb(fmc=1, bootloader=2, tee=3, snp=4, microcode=5)


@pytest.mark.parametrize("line", product.PRODUCTS)
def test_a_tcb_is_read_as_it_is_written(line: str) -> None:
    tcb = SnpTcb(bootloader=1, tee=2, snp=3, microcode=255, fmc=9 if line == "Turin" else 0)

    assert product.read_tcb(tcb_bytes(tcb, line), line, "check") == tcb


@pytest.mark.parametrize(("line", "reserved"), [("Milan", {2, 3, 4, 5}), ("Genoa", {2, 3, 4, 5}), ("Turin", {4, 5, 6})])
def test_reserved_bytes_are_zero(line: str, reserved: set[int]) -> None:
    for at in range(8):
        raw = bytes(at) + b"\x01" + bytes(7 - at)
        if at in reserved:
            with raises("some.check", f"TCB {raw.hex()}"):
                product.read_tcb(raw, line, "some.check")
        else:
            product.read_tcb(raw, line, "some.check")


@pytest.mark.parametrize(
    ("line", "oids"),
    [
        ("Milan", ("3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8")),
        ("Genoa", ("3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8")),
        ("Turin", ("3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8")),
    ],
)
def test_where_a_certificate_has_the_bytes(line: str, oids: tuple[str, ...]) -> None:
    assert product.tcb_extensions(line) == oids


def test_a_report_has_four_tcbs_each_in_its_place() -> None:
    numbers = {"reported_tcb": 1, "committed_tcb": 2, "current_tcb": 3, "launch_tcb": 4}
    raw = {name: tcb_bytes(SnpTcb(bootloader=number), "Genoa") for name, number in numbers.items()}

    tcbs = product.read_tcbs(parse_report(machine().report(**raw)), "Genoa")

    assert {f"{name}_tcb": getattr(tcbs, name).bootloader for name in ("reported", "committed", "current", "launch")} == numbers
    with raises("snp.tcb_format"):
        product.read_tcbs(parse_report(machine().report(launch_tcb=b"\x00\x00\x01" + bytes(5))), "Genoa")


def test_the_lowest_is_found_in_each_component() -> None:
    parts = [SnpTcb(bootloader=9, tee=9, snp=9, microcode=9, fmc=9) for _ in range(4)]
    lows = [SnpTcb(bootloader=1, tee=9, snp=9, microcode=9, fmc=9), SnpTcb(bootloader=9, tee=2, snp=9, microcode=9, fmc=9)]

    assert product.Tcbs(*parts).lowest == parts[0]
    assert product.Tcbs(lows[0], lows[1], parts[2], parts[3]).lowest == SnpTcb(bootloader=1, tee=2, snp=9, microcode=9, fmc=9)
    assert product.Tcbs(parts[0], parts[1], lows[0], lows[1]).lowest == SnpTcb(bootloader=1, tee=2, snp=9, microcode=9, fmc=9)


def test_tcbs_compare_in_every_component() -> None:
    assert product.at_least(NEW, NEW) and product.at_least(NEW, OLD)
    assert not product.at_least(OLD, NEW)
    crossed = SnpTcb(bootloader=5, snp=8, microcode=219)
    assert not product.at_least(crossed, NEW) and not product.at_least(NEW, crossed)
    assert not product.at_least(NEW, SnpTcb(fmc=1)) and not product.at_least(NEW, SnpTcb(tee=1))


def test_tcbs_for_people() -> None:
    assert product.tcb_text(NEW) == "bootloader 4, tee 0, snp 24, microcode 219"
    assert product.tcb_text(SnpTcb(fmc=2)) == "bootloader 0, tee 0, snp 0, microcode 0, fmc 2"
