"""A device is what its certificates say, down from the pinned root."""

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ollm.attest.nvidia import chain, layout
from ollm.attest.nvidia.chain import DEVICE_NAMES, Device
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nvidia as mint
from ollm.testing.mint.x509 import DAY, Authority, issue
from ollm.values.policy import NvidiaPolicy
from tests.attest.nvidia.devices import CHIPS, GPU, NONCE, POLICY, device, parsed
from tests.sim.hardware import NOW

HIERARCHY = GPU.hierarchy
START, END = NOW - DAY, NOW + 400 * DAY


def refused(certificates: Sequence[x509.Certificate]) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as caught:
        chain.check_chain(certificates, DEVICE_NAMES[: len(certificates)], "device.chain")
    assert caught.value.check == "device.chain"
    return caught.value


def leaf_of(issuer: Authority, **changes: object) -> Authority:
    settled: dict[str, object] = {"start": START, "end": END, "authority": False, **changes}
    return issue("leaf", issuer, **settled)  # type: ignore[arg-type]


@pytest.mark.parametrize("chip", CHIPS)
def test_the_chain_of_each_architecture(chip: str) -> None:
    loaded = chain.load_device_chain(device(chip).pem)
    assert [chain.der(each) for each in loaded] == [party.der for party in device(chip).parties]
    chain.check_root(loaded, chain.device_root(POLICY), "device.root")
    chain.check_chain(loaded, DEVICE_NAMES, "device.chain")


@pytest.mark.parametrize(
    ("chip", "kind", "model", "name"),
    [("GH100", "gpu", "Hopper", "GH100"), ("GB100", "gpu", "Blackwell", "GB100"), ("LS_10", "switch", "LS10", "LS10")],
)
def test_the_chain_says_what_the_device_is(chip: str, kind: str, model: str, name: str) -> None:
    made = device(chip)
    leaf, brom = made.leaf.certificate, made.chip.certificate
    assert chain.identify(parsed(made.parties)) == Device(kind, model, name, f"{leaf.serial_number:x}", f"{brom.serial_number:x}")


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\ud800", "x" * 40_000])
def test_a_text_that_is_no_chain_is_refused(text: str) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        chain.load_device_chain(text)
    assert caught.value.check == "device.certificates"


@pytest.mark.parametrize("parties", [GPU.parties[:4], GPU.parties[1:], GPU.parties[4:], (*GPU.parties, GPU.parties[4])])
def test_five_certificates_and_no_other_number(parties: Sequence[Authority]) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        chain.load_device_chain("".join(map(mint.pem, parties)))
    assert caught.value.check == "device.chain"


def test_the_vendors_roots_come_from_no_configuration() -> None:
    vendors = NvidiaPolicy()
    assert (chain.device_root(vendors).sha256, chain.rim_root(vendors).sha256) == (chain.DEVICE_ROOT_SHA256, chain.RIM_ROOT_SHA256)
    assert not chain.device_root(vendors).simulated and not chain.rim_root(vendors).simulated
    assert chain.device_root(POLICY).simulated and chain.rim_root(POLICY).simulated
    assert chain.rim_root(POLICY).sha256 == HIERARCHY.rim_root.sha256


def test_another_root_is_named_by_its_digest() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        chain.check_root(parsed(GPU.parties), chain.VendorDeviceRoot(), "device.root")
    assert (caught.value.check, caught.value.want) == ("device.root", chain.DEVICE_ROOT_SHA256)


@pytest.mark.parametrize("left_out", [1, 2, 3])
def test_each_certificate_was_issued_by_the_next(left_out: int) -> None:
    parties = [party for at, party in enumerate(GPU.parties) if at != left_out]
    assert "by another issuer" in refused(parsed(parties)).got


def test_a_signature_by_another_key_of_that_name() -> None:
    namesake = issue("NVIDIA GH100 Provisioner ICA 1", HIERARCHY.model, start=START, end=END, path_length=None)
    assert "by another issuer" in refused(parsed([GPU.leaf, GPU.chip, namesake, *GPU.parties[3:]])).got


def test_the_leaf_signs_and_is_no_authority() -> None:
    for leaf in (
        leaf_of(GPU.chip, authority=True),
        leaf_of(GPU.chip, key_usage=False),
        leaf_of(GPU.chip, authority=True, certifying=False),
        leaf_of(GPU.chip, extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
    ):
        assert "of another purpose" in refused(parsed([leaf, *GPU.parties[1:]])).got


def test_malformed_extensions_of_a_leaf() -> None:
    broken = leaf_of(GPU.chip, constrained=False, extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.19"), b"\x04\x00"), True)])
    assert "extensions can't be read" in refused(parsed([broken, *GPU.parties[1:]])).got


def test_only_an_authority_issues() -> None:
    for wrong in (
        issue("chip", HIERARCHY.provisioner, start=START, end=END, authority=False),
        issue("chip", HIERARCHY.provisioner, start=START, end=END, certifying=False),
    ):
        assert "may not issue" in refused(parsed([leaf_of(wrong), wrong, *GPU.parties[2:]])).got


def test_a_path_no_longer_than_allowed() -> None:
    def under(path_length: int) -> tuple[x509.Certificate, ...]:
        factory = issue("NVIDIA GH100 Provisioner ICA 1", HIERARCHY.model, start=START, end=END, path_length=path_length)
        brom = issue("chip", factory, start=START, end=END)
        return parsed([leaf_of(brom), brom, factory, *GPU.parties[3:]])

    chain.check_chain(under(1), DEVICE_NAMES, "device.chain")
    assert "may not issue" in refused(under(0)).got


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_every_key_is_on_p384(key: object) -> None:
    assert "another kind of key" in refused(parsed([leaf_of(GPU.chip, key=key), *GPU.parties[1:]])).got


def test_every_signature_is_with_sha384() -> None:
    assert "another kind of key or signature" in refused(parsed([leaf_of(GPU.chip, algorithm=hashes.SHA256()), *GPU.parties[1:]])).got


def named(information: bytes | None, provisioner: str = "NVIDIA GH100 Provisioner ICA 1", times: int = 1) -> tuple[x509.Certificate, ...]:
    """A chain whose leaf bears that device information."""
    name = None if information is None else x509.OtherName(x509.ObjectIdentifier(chain.DEVICE_INFO_OID), information)
    extensions = [] if name is None else [(x509.SubjectAlternativeName([name] * times), False)]
    factory = issue(provisioner, HIERARCHY.model, start=START, end=END)
    return parsed([leaf_of(GPU.chip, extensions=extensions), GPU.chip, factory, *GPU.parties[3:]])


def utf8(text: str) -> bytes:
    return bytes((0x0C, len(text))) + text.encode()


@pytest.mark.parametrize(
    ("information", "provisioner", "times"),
    [
        (None, "NVIDIA GH100 Provisioner ICA 1", 1),
        (utf8("NVIDIA:GH100:48B02D92"), "NVIDIA GH100 Provisioner ICA 1", 2),
        (utf8("AMD:GH100:48B02D92"), "NVIDIA GH100 Provisioner ICA 1", 1),
        (utf8("NVIDIA:GH100"), "NVIDIA GH100 Provisioner ICA 1", 1),
        (b"\x04\x00", "NVIDIA GH100 Provisioner ICA 1", 1),
        (utf8("NVIDIA:GH100:48B02D92"), "NVIDIA GB100 Provisioner ICA 1", 1),
        (utf8("NVIDIA:GA100:48B02D92"), "NVIDIA GA100 Provisioner ICA 1", 1),
        (utf8("NVIDIA:GBXXX:48B02D92"), "NVIDIA GBXXX Provisioner ICA 1", 1),
    ],
)
def test_a_device_of_unknown_or_contradictory_model_is_refused(information: bytes | None, provisioner: str, times: int) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        chain.identify(named(information, provisioner, times))
    assert caught.value.check == "device.architecture"


@pytest.mark.parametrize("chip", ["GB100", "GB102", "GB10B", "GB202"])
def test_chips_of_blackwell(chip: str) -> None:
    assert chain.identify(named(utf8(f"NVIDIA:{chip}:48B02D92"), f"NVIDIA {chip} Provisioner ICA 00000")).model == "Blackwell"


def test_the_report_is_of_that_kind_of_device() -> None:
    hopper = chain.identify(parsed(GPU.parties))
    chain.check_report(layout.parse_report(GPU.report(NONCE, fields={layout.CHIP: b"GH100\x00"})), hopper)
    for report in (device("LS_10").report(NONCE), GPU.report(NONCE, fields={layout.CHIP: b"GB100\x00"})):
        with pytest.raises(EvidenceRefused) as caught:
            chain.check_report(layout.parse_report(report), hopper)
        assert caught.value.check == "device.architecture"


def test_the_leafs_key_signed_the_report() -> None:
    report = layout.parse_report(GPU.report(NONCE))
    chain.check_signature(report, GPU.leaf.certificate)
    with pytest.raises(EvidenceRefused) as caught:
        chain.check_signature(report, GPU.chip.certificate)
    assert caught.value.check == "device.signature"


def test_a_link_that_was_verified_is_not_verified_again() -> None:
    chain._check_link.cache_clear()
    for _ in range(3):
        chain.check_chain(parsed(GPU.parties), DEVICE_NAMES, "device.chain")
    assert chain._check_link.cache_info()[:2] == (8, 4)  # hits, misses: four links


def test_a_link_that_failed_fails_again() -> None:
    wrong = parsed([GPU.leaf, *GPU.parties[2:]])
    assert refused(wrong).got == refused(wrong).got


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.integers(0, len(GPU.pem)), st.integers(0, 200))
def test_only_refusals_escape(noise: str, at: int, cut: int) -> None:
    for text in (noise, GPU.pem[:at] + noise + GPU.pem[at + cut :]):
        try:
            loaded = chain.load_device_chain(text)
            chain.identify(loaded)
            chain.check_chain(loaded, DEVICE_NAMES, "device.chain")
        except EvidenceRefused as refused:
            assert refused.check in ("device.certificates", "device.chain", "device.architecture")  # noqa: PT017 - depends on the noise
