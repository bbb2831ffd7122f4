"""Reference files: one form, one signature over all of it, and nothing beside what was signed."""

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollm.attest.checks import Trail
from ollm.attest.nvidia import appraise, rim
from ollm.attest.nvidia.rim import Rim
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nvidia_rim import measurement, references, sign_xml
from ollm.testing.mint.nvidia_rim import rim as mint_rim
from tests.attest.nvidia.devices import GPU, POLICY
from tests.sim.hardware import NOW

SIGNERS = GPU.hierarchy.rim_chain
GENUINE = GPU.driver_rim()
DS = "http://www.w3.org/2000/09/xmldsig#"


def read(data: bytes | None, now: int = NOW) -> Rim:
    trail = Trail(appraise.RIM_PLAN)
    (found,) = appraise.genuine_rims(trail, appraise.read_rims(trail, [("driver RIM", data)]), POLICY, now)
    trail.completed()
    return found


def refused(data: bytes | None, now: int = NOW) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as caught:
        read(data, now)
    return caught.value


def edited(old: str, new: str, count: int = 1) -> bytes:
    """A genuine signature over a file that was edited before it was signed."""

    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return mint_rim(SIGNERS, references=references([7]), edit=edit)


def tampered(pattern: bytes, replacement: bytes | Callable[[re.Match[bytes]], bytes], data: bytes = GENUINE) -> bytes:
    """A genuine file that was edited after it was signed."""
    changed, count = re.subn(pattern, replacement, data, count=1, flags=re.DOTALL)
    assert count == 1
    return changed


def test_what_a_genuine_file_says() -> None:
    found = read(GENUINE)
    assert (found.name, found.product, found.edition, found.version) == ("driver RIM", "GH100", "GPU", "550.90.07")
    assert [reference.index for reference in found.references] == [7, *range(21, 41)]
    assert found.references[0].values[1] == measurement(7)


def test_a_file_that_is_not_there() -> None:
    assert (refused(None).check, refused(None).got) == ("rim.present", "no driver RIM")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('index="7"', 'index="6"'),
        ('index="7"', 'index="256"'),
        ('index="7"', 'index="-7"'),
        ('index="7"', 'index="07"'),
        ('index="7"', 'index=" 7"'),
        ('index="7"', 'index="٧"'),
        ('index="7" ', ""),
        ('size="48"', 'size="0x30"'),
        ('name="Measurement_7" size="48"', 'name="Measurement_7" size="47"'),
        ('alternatives="2"', 'alternatives="3"'),
        ('alternatives="2"', 'alternatives="1"'),
        ('alternatives="2"', 'alternatives="65"'),
        ('index="7" active="True" alternatives="2"', 'index="7" active="True" alternatives="0"'),
        ('active="True"', 'active="true"'),
        ('active="True"', 'active="False"'),
        ("ns2:Hash0", "Hash0"),
        ("ns2:Hash1", "ns2:Hash2"),
        ('type="Measurement"', 'type="Other"'),
        ("ns0:Resource", "ns0:File"),
        ("    <ns0:Payload>", "    <ns0:Payload/><ns0:Payload>"),
        ("ns0:Payload>", "ns0:Evidence>"),
        ("<ns0:Meta ", "<ns0:Meta/><ns0:Meta "),
        ("ns0:Meta", "ns0:Link"),
        ('product="GH100"', 'product=""'),
        ('edition="GPU" ', ""),
        ('colloquialVersion="550.90.07" ', ""),
    ],
)
def test_a_signed_file_of_another_form_is_refused(old: str, new: str) -> None:
    count = -1 if old in ("ns0:Payload>", "ns0:Resource", "ns2:Hash0") else 1
    assert refused(edited(old, new, count)).check == "rim.format"


def test_a_digest_is_hex_of_the_stated_size() -> None:
    digest = measurement(7).hex()
    for wrong in (digest.upper(), digest[:-2], digest[:-1] + "g", ""):
        assert refused(edited(digest, wrong)).check == "rim.format"


def test_another_document_is_no_reference_file() -> None:
    other = sign_xml('<Response xmlns="urn:example"><Assertion/></Response>', SIGNERS[0].key, SIGNERS)
    assert "Response" in refused(other).got


def test_a_payload_without_measurements() -> None:
    text = '<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd"><Payload/></SoftwareIdentity>'
    assert refused(text.encode()).got == "an empty payload"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not XML",
        b"<SoftwareIdentity",
        GENUINE[:-1],
        GENUINE + b"<x/>",
        GENUINE.decode().encode("utf-16"),
        b"\xff" + GENUINE,
        b"<a>" * 300 + b"</a>" * 300,
        GENUINE.replace(b"550.90.07", b"550.90.\x007"),
    ],
)
def test_bytes_that_are_no_xml(data: bytes) -> None:
    assert refused(data).check == "rim.format"


def test_an_oversized_file_is_refused_unread() -> None:
    assert refused(GENUINE + b" " * rim.MAX_RIM).got == f"{len(GENUINE) + rim.MAX_RIM} bytes"


BOMB = b'<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "' + b"&l;" * 100 + b'"><!ENTITY n "' + b"&m;" * 100 + b'">]>'


@pytest.mark.parametrize(
    "data",
    [
        BOMB + GENUINE,
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + GENUINE,
        b"<!-- comment -->" + GENUINE,
        GENUINE + b"<!-- comment -->",
        GENUINE + b"<?pi?>",
        tampered(b"<ns0:Payload>", b"<ns0:Payload><![CDATA[ ]]>"),
        tampered(b'"550.90.07"', b'"550.90.0&#55;"'),
        tampered(b'"550.90.07"', b'"&lt;"'),
    ],
)
def test_nothing_can_hide_in_a_file(data: bytes) -> None:
    assert (refused(data).check, refused(data).want) == ("rim.format", "elements and text only")


def test_a_declared_encoding_hides_nothing() -> None:
    declared = b'<?xml version="1.0" encoding="UTF-8"?>' + GENUINE
    assert read(declared) == read(GENUINE)
    cloaked = b'<?xml version="1.0" encoding="UTF-7"?>+ADw-+ACE-DOCTYPE a+AD4-' + GENUINE
    assert refused(cloaked).check == "rim.format"


def test_no_signature_or_two() -> None:
    signature = re.search(rb"<ds:Signature .*</ds:Signature>", GENUINE, re.DOTALL)
    assert signature is not None
    assert refused(GENUINE.replace(signature[0], b"")).check == "rim.signature"
    assert refused(GENUINE.replace(signature[0], signature[0] * 2)).check == "rim.signature"


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (rb'URI=""', b'URI="#id"'),
        (rb'URI=""', b'URI="http://example.org/"'),
        (rb'<ds:Reference URI="">(.*)</ds:Reference>', rb'<ds:Reference URI="">\1</ds:Reference><ds:Reference URI="">\1</ds:Reference>'),
        (rb"xmldsig-more#ecdsa-sha384", b"xmldsig-more#hmac-sha384"),
        (rb"xmldsig-more#ecdsa-sha384", b"xmldsig-more#ecdsa-sha256"),
        (rb"xmldsig-more#sha384", b"xmldsig-more#sha224"),
        (rb'<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>', b""),
        (
            rb'<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/>',
            b'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/>',
        ),
        (rb"<ds:KeyInfo>", b"<ds:KeyInfo><ds:KeyName>other</ds:KeyName>"),
        (rb"<ds:X509Certificate>[^<]*</ds:X509Certificate>", b""),
        (rb"</ds:KeyInfo>", b"</ds:KeyInfo><ds:Object><x/></ds:Object>"),
        (rb"<ds:Signature ", b'<ds:Signature Id="s" '),
        (rb"<ds:SignatureValue>", b"<ds:SignatureValue>!"),
        (rb"<ds:SignatureValue>[^<]*<", b"<ds:SignatureValue><"),
        (rb"<ds:SignatureValue>....", b"<ds:SignatureValue>"),
    ],
)
def test_a_signature_of_another_form_is_refused(pattern: bytes, replacement: bytes) -> None:
    assert refused(tampered(pattern, replacement)).check == "rim.signature"


def test_a_digest_or_signature_that_is_not_of_this_file() -> None:
    other = GPU.bios_rim()
    value = re.compile(rb"<ds:SignatureValue>[^<]*<")
    swapped = value.sub(value.search(other)[0], GENUINE)  # type: ignore[index]
    digest = re.compile(rb"<ds:DigestValue>[^<]*<")
    redigested = digest.sub(digest.search(other)[0], GENUINE)  # type: ignore[index]
    for data in (swapped, redigested, tampered(rb"550\.90\.07", b"550.90.08"), tampered(measurement(7).hex().encode(), b"00" * 48)):
        assert refused(data).check == "rim.signature"


def test_wrapping_a_signed_file_in_another() -> None:
    """The signed element moved aside, and the signature kept: what it covers is no longer the document."""
    head, payload, rest = GENUINE.partition(b"    <ns0:Payload>")
    forged = payload + rest.replace(measurement(7).hex().encode(), b"00" * 48)
    inner = GENUINE
    signature = rest[rest.index(b"<ds:Signature ") : rest.index(b"</ds:Signature>") + 15]
    bare = GENUINE.replace(signature, b"")
    for data in (
        head + b"<wrapped>" + inner + b"</wrapped>" + forged,  # the genuine file as a child of the forged one
        forged_with(head, forged, b"<wrapped>" + bare + b"</wrapped>"),  # the signed element as a child, the signature outside
        GENUINE.replace(b"    <ns0:Payload>", forged[: forged.index(b"</ns0:Payload>") + 14] + b"<ns0:Payload>"),  # a second payload first
        GENUINE.replace(signature, b"<wrapped>" + signature + b"</wrapped>"),  # the signature moved down
        GENUINE.replace(signature, signature + b"<ns0:Payload/>"),  # something after the signature
        GENUINE.replace(b"<ds:KeyInfo>", b"<ds:Object>" + bare + b"</ds:Object><ds:KeyInfo>"),  # enveloping
    ):
        assert refused(data).check in ("rim.format", "rim.signature")


def forged_with(head: bytes, forged: bytes, before_signature: bytes) -> bytes:
    at = forged.index(b"<ds:Signature ")
    return head + forged[:at] + before_signature + forged[at:]


def test_certificates_in_a_file_are_base64_of_certificates() -> None:
    assert refused(tampered(rb"<ds:X509Certificate>MII", b"<ds:X509Certificate>MIJ")).check == "rim.format"
    assert refused(tampered(rb"<ds:X509Certificate>M", b"<ds:X509Certificate> M")).check == "rim.format"
    assert refused(tampered(rb"<ds:X509Certificate>[^<]*", b"<ds:X509Certificate>")).check == "rim.format"
    assert refused(tampered(rb"<ds:X509Certificate>[^<]*", b"<ds:X509Certificate>AAAAAAB=")).check == "rim.format"


def test_white_space_and_quotes_are_not_signed_and_name_nothing() -> None:
    spelled = GENUINE.replace(b'revision="r1"', b"revision='r1' ") + b"\n"
    spelled = tampered(rb"<ds:SignatureValue>(....)", rb"<ds:SignatureValue>\1\n", spelled)
    assert spelled != GENUINE
    assert read(spelled) == read(GENUINE)  # with the same identity


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "signxml", None)
    rim.parse.cache_clear()  # what was read before is known without it
    assert "pip install 'ollm[nvidia]'" in refused(GENUINE).want


def test_what_the_same_bytes_were_found_to_be_is_kept_and_a_refusal_is_not() -> None:
    kept = rim.parse.cache_info().currsize

    first = rim.parse(GENUINE, "RIM")
    assert rim.parse(bytes(bytearray(GENUINE)), "RIM") is first
    for _ in range(2):
        with pytest.raises(EvidenceRefused):
            rim.parse(GENUINE[:-1], "RIM")
    assert rim.parse.cache_info().currsize <= kept + 1


def _nothing_passes(data: bytes, at: int) -> None:
    """A flipped file is refused, or says the very same as before."""
    try:
        found = read(data)
    except EvidenceRefused:
        return
    assert found == read(GENUINE), at


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize("stride", [101, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(600)])])
def test_no_flipped_byte_changes_what_a_file_says(stride: int) -> None:
    for at in range(0, len(GENUINE), stride):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(GENUINE)
            flipped[at] ^= mask
            _nothing_passes(bytes(flipped), at)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(GENUINE)), st.integers(0, 60))
def test_only_refusals_escape(noise: bytes, at: int, cut: int) -> None:
    for data in (noise, GENUINE[:at] + noise + GENUINE[at + cut :]):
        _nothing_passes(data, at)


@settings(max_examples=80, deadline=None)
@given(st.text("<>/='\" abns0:PayloadResource7é\n", max_size=60), st.integers(0, len(GENUINE)))
def test_only_refusals_escape_from_near_xml(noise: str, at: int) -> None:
    _nothing_passes(GENUINE[:at] + noise.encode() + GENUINE[at:], at)
