"""The firmware's digest, out of the two extensions that NVIDIA's devices carry it in."""

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from ollm.attest.nvidia import fwid
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nvidia as mint
from ollm.testing.mint.x509 import DAY, issue
from tests.attest.nvidia.devices import CHIPS, device
from tests.sim.hardware import NOW

DIGEST = bytes(range(48))
HOPPER, BLACKWELL = mint.composite_device_id(DIGEST), mint.tcb_info(DIGEST)


def leaf(*extensions: tuple[str, bytes]) -> x509.Certificate:
    made = [(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False) for oid, value in extensions]
    return issue("leaf", None, start=NOW, end=NOW + DAY, authority=False, extensions=made).certificate


def refused(certificate: x509.Certificate) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        fwid.leaf_fwid(certificate)
    assert caught.value.check == "device.fwid"


@pytest.mark.parametrize("chip", CHIPS)
def test_each_architecture_carries_it(chip: str) -> None:
    assert fwid.leaf_fwid(device(chip).leaf.certificate) == device(chip).firmware


def test_of_several_digests_the_first_is_the_firmwares() -> None:
    assert fwid.leaf_fwid(leaf((fwid.TCB_INFO_OID, BLACKWELL))) == DIGEST


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        ((fwid.TCB_INFO_OID, BLACKWELL), (fwid.COMPOSITE_DEVICE_ID_OID, HOPPER)),
        ((fwid.TCB_INFO_OID, HOPPER),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, BLACKWELL),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, HOPPER[:-1]),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, HOPPER + b"\x00"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, HOPPER + HOPPER),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b""),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b"\x30\x00"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b"\x04\x00"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b"\x30"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b"\x1f\x01\x00"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b"\x30\x80\x00\x00"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, b"\x30\x81"),),
        ((fwid.COMPOSITE_DEVICE_ID_OID, HOPPER.replace(bytes.fromhex("608648016503040202"), bytes.fromhex("608648016503040203"))),),
        ((fwid.TCB_INFO_OID, BLACKWELL.replace(b"\xa6", b"\xa7")),),
        ((fwid.TCB_INFO_OID, BLACKWELL.replace(b"\xa6\x7e\x30", b"\xa6\x7e\x31")),),
    ],
)
def test_anything_else_is_no_digest(extensions: tuple[tuple[str, bytes], ...]) -> None:
    refused(leaf(*extensions))


def test_it_must_be_what_the_report_states() -> None:
    fwid.check_fwid(DIGEST, DIGEST)
    with pytest.raises(EvidenceRefused) as caught:
        fwid.check_fwid(bytes(48), DIGEST)
    assert (caught.value.check, caught.value.want) == ("device.fwid", DIGEST.hex())


def test_a_report_that_states_none_is_judged_elsewhere() -> None:
    fwid.check_fwid(None, DIGEST)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([fwid.TCB_INFO_OID, fwid.COMPOSITE_DEVICE_ID_OID]), st.binary(max_size=64), st.integers(0, 190), st.integers(0, 8))
def test_only_refusals_escape(oid: str, noise: bytes, at: int, cut: int) -> None:
    for base in (HOPPER, BLACKWELL, b""):
        try:
            fwid.leaf_fwid(leaf((oid, base[:at] + noise + base[at + cut :])))
        except EvidenceRefused as refused:
            assert refused.check == "device.fwid"  # noqa: PT017 - whether it is refused depends on the noise
