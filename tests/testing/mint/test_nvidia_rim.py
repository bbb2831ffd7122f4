"""Minted reference files have the true form, and verify with nothing of ours."""

from datetime import UTC, datetime

import pytest
from lxml import etree
from signxml.exceptions import InvalidDigest
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from ollm.testing.mint.nvidia import create
from ollm.testing.mint.nvidia_rim import measurement, references, rim, sign_xml
from tests.sim.hardware import NOW

SIGNERS = create(NOW).rim_chain
SWID = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"


def verified(data: bytes) -> etree._Element:
    config = SignatureConfiguration(verification_time=datetime.fromtimestamp(NOW, UTC))
    result = XMLVerifier().verify(data, x509_cert=SIGNERS[0].certificate, expect_config=config)
    assert isinstance(result, VerifyResult) and result.signed_xml is not None
    return result.signed_xml


def test_a_file_verifies_against_the_schema_and_the_signer() -> None:
    root = verified(rim(SIGNERS, references=references([7])))
    resources = root.findall(f"{SWID}Payload/{SWID}Resource")
    assert len(resources) == 64
    assert [resource.get("index") for resource in resources if resource.get("active") == "True"] == ["7"]
    assert resources[7].get("{http://www.w3.org/2001/04/xmlenc#sha384}Hash1") == measurement(7).hex()


def test_an_edit_before_the_signature_is_signed_and_one_after_it_is_not() -> None:
    edited = rim(SIGNERS, references=references([7]), edit=lambda text: text.replace("GH100", "GH999"))
    assert verified(edited).get("name") == "GH999"
    with pytest.raises(InvalidDigest):
        verified(edited.replace(b"GH999", b"GH100"))


def test_any_document_can_be_signed() -> None:
    assert verified(sign_xml("<a><b/></a>", SIGNERS[0].key, SIGNERS)).tag == "a"
