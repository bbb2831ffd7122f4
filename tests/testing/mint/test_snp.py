"""Simulated SEV-SNP machines: reports laid out byte for byte as AMD's ABI says, signed, and with a knob for each field."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ollm.testing.mint.snp import CPUS, CSP_ID, TCB, SnpMachine, overwritten, tcb_bytes
from ollm.testing.mint.snp_certificates import create_pki
from ollm.values.policy import SnpTcb

NOW = 1_800_000_000
MACHINE = SnpMachine(create_pki("Genoa", NOW), NOW)


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_a_report_is_signed_by_the_machines_key(version: int) -> None:
    report = MACHINE.report(version=version)
    r, s = int.from_bytes(report[0x2A0:0x2E8], "little"), int.from_bytes(report[0x2E8:0x330], "little")

    assert len(report) == 0x4A0
    assert report[:4] == bytes((version, 0, 0, 0))
    MACHINE.key.public_key().verify(encode_dss_signature(r, s), report[:0x2A0], ec.ECDSA(hashes.SHA384()))


def test_fields_stand_at_their_offsets() -> None:
    report = MACHINE.report(vmpl=3, report_data=b"\x51" * 64, host_data=b"\x52" * 32, launch_tcb=b"\x53" * 8, mitigations=(0x54, 0x55))

    assert report[0x30] == 3
    assert report[0x50:0x90] == b"\x51" * 64
    assert report[0x90:0xC0] == b"\xa1" * 48
    assert report[0xC0:0xE0] == b"\x52" * 32
    assert report[0x160:0x180] == b"\xff" * 32
    assert tuple(report[0x188:0x18B]) == CPUS["Genoa"]
    assert report[0x1A0:0x1E0] == MACHINE.chip_id
    assert report[0x1E8:0x1F0].hex() == "2b3701002b370100"
    assert report[0x1F0:0x1F8] == b"\x53" * 8
    assert (report[0x1F8], report[0x200]) == (0x54, 0x55)


def test_what_a_version_does_not_have_is_left_out() -> None:
    assert not any(MACHINE.report(version=2)[0x188:0x1A0])
    assert not any(MACHINE.report(version=4)[0x1F8:0x2A0])


def test_reserved_bytes_can_be_set_before_signing() -> None:
    assert MACHINE.report(reserved={0x208: b"\x01\x02"})[0x208:0x20A] == b"\x01\x02"
    assert overwritten(b"abcdef", {1: b"XY", 5: b"Z"}) == b"aXYdeZ"


@pytest.mark.parametrize(("product", "raw"), [("Milan", "04000000000018db"), ("Genoa", "04000000000018db"), ("Turin", "00040018000000db")])
def test_tcbs_are_written_in_the_products_layout(product: str, raw: str) -> None:
    assert tcb_bytes(TCB, product).hex() == raw
    assert tcb_bytes(SnpTcb(fmc=1, tee=2), "Turin").hex() == "0100020000000000"


def test_chips_and_providers() -> None:
    turin, provider = SnpMachine(create_pki("Turin", NOW), NOW), SnpMachine(MACHINE.pki, NOW, vlek=True)

    assert turin.chip_id == bytes(range(1, 9)) + bytes(56)
    assert turin.statements()["4"] == bytes(range(1, 9))
    assert "4" not in turin.statements({"4": None})
    assert not any(provider.chip_id)
    assert provider.report()[0x48] == 1 << 2
    assert provider.chain == MACHINE.pki.asvk.pem + MACHINE.pki.ark.pem
    assert provider.policy().vlek_csp_ids == (CSP_ID,)


def test_collateral_and_policy_have_knobs() -> None:
    assert MACHINE.collateral(crl=None).crl is None
    assert MACHINE.policy(chips=()).chips == ()
    assert MACHINE.policy().simulated_root_sha256 == MACHINE.pki.root_sha256
    assert MACHINE.reference_values(host_data="00").host_data == "00"
