"""A report of SEV-SNP comes out of its message as it was signed."""

from typing import Any

import pytest

from ollm.attest.services.privatemode import snp
from ollm.attest.services.privatemode.protobuf import Message
from ollm.errors import EvidenceRefused
from ollm.testing.mint.contrast import field, snp_attestation, snp_report
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki
from tests.attest.services.privatemode.deployments import chip
from tests.sim.hardware import NOW

CHECK = "privatemode.format"


def read(data: bytes) -> Any:
    return snp.evidence(Message(data, CHECK, "an attestation"), CHECK)


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 5])
def test_a_report_is_put_together_again(product: str, version: int) -> None:
    machine = SnpMachine(create_pki(product, NOW), NOW)
    report = machine.report(version=version, report_data=bytes(range(64)), host_data=bytes(range(32)), current_version=(1, 2, 3))
    if version == 2:
        assert report[0x188:0x18B] == bytes(3)
    assert read(snp_attestation(report, None)).report == report


def test_the_leaf_is_that_of_the_key_that_signed() -> None:
    report = chip().report()
    assert read(snp_attestation(report, b"vcek")).leaf == b"vcek"
    assert read(snp_attestation(report, None)).leaf is None
    both = field(2, field(1, b"vcek") + field(6, b"vlek"))
    assert read(field(1, snp_report(report)) + both).leaf == b"vcek"
    assert read(field(1, snp_report(chip().report(flags=1 << 2))) + both).leaf == b"vlek"
    assert read(field(1, snp_report(chip().report(flags=1 << 2))) + field(2, field(1, b"vcek"))).leaf is None


def test_the_cpu_is_spelled_as_its_own_instruction_does() -> None:
    report = read(snp_attestation(chip().report(), None)).report
    assert field(29, 0x00A10F11) in snp_report(report)  # a Genoa, family 19h model 11h stepping 1
    assert report[0x188:0x18B] == bytes((0x19, 0x11, 1))


@pytest.mark.parametrize("eax", [0x00A1FF11, 0x80A10F11, 0x0FFFFFFF, 0x0FF00F11])
def test_a_cpu_that_is_none_is_refused(eax: int) -> None:
    whole = snp_report(chip().report())
    changed = whole.replace(field(29, 0x00A10F11), field(29, eax))
    assert changed != whole
    with pytest.raises(EvidenceRefused) as problem:
        read(field(1, changed))
    assert (problem.value.check, problem.value.want) == (CHECK, "family, model and stepping of a CPU")


def test_what_is_no_report_is_refused() -> None:
    whole = snp_report(chip().report())
    for wrong in (b"", field(2, b""), field(1, whole + field(32, 1)), field(1, whole[:-8]), field(1, field(1, 2))):
        with pytest.raises(EvidenceRefused) as problem:
            read(wrong)
        assert problem.value.check == CHECK
