"""Reference files (RIM) of NVIDIA's form, with a knob for every defect that a verifier must notice. Nothing here is a secret."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from ollm.testing.mint.x509 import Authority

_DS = "http://www.w3.org/2000/09/xmldsig#"
_INDICES = 64


def measurement(index: int) -> bytes:
    """What an honest device measures at `index`."""
    return hashlib.sha384(f"measurement {index}".encode()).digest()


def references(indices: Iterable[int]) -> dict[int, list[bytes]]:
    """Reference values that an honest device has at `indices`: an older build's and its own."""
    return {index: [hashlib.sha384(b"older").digest(), measurement(index)] for index in indices}


def rim(
    signers: Sequence[Authority],
    *,
    product: str = "GH100",
    edition: str = "GPU",
    version: str = "550.90.07",
    references: Mapping[int, Sequence[bytes]],
    edit: Callable[[str], str] = str,
    chain: Sequence[Authority] | None = None,
) -> bytes:
    """A reference file by the first of `signers`; `edit` changes its text before it is signed, `chain` stands in it instead of `signers`."""
    resources = "\n".join(_resource(index, references.get(index)) for index in range(_INDICES))
    text = edit(
        f'<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" '
        f'xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" '
        f'corpus="false" name="{product}" patch="false" supplemental="false" tagId="simulated" version="1.0" tagVersion="0">\n'
        f'    <ns0:Meta colloquialVersion="{version}" edition="{edition}" product="{product}" revision="r1" PayloadType="direct"/>\n'
        f"    <ns0:Payload>\n{resources}\n    </ns0:Payload>\n</SoftwareIdentity>"
    )
    return sign_xml(text, signers[0].key, chain or signers)


def sign_xml(text: str, key: ec.EllipticCurvePrivateKey, chain: Sequence[Authority]) -> bytes:
    """`text` with an enveloped signature at its end, of the form that NVIDIA uses."""
    root = etree.fromstring(text.encode())
    digest = base64.b64encode(hashlib.sha384(etree.tostring(root, method="c14n")).digest()).decode()
    signature = etree.fromstring(_signature(digest, "", chain))
    root.append(signature)
    signed_info = etree.tostring(signature[0], method="c14n")
    value = base64.b64encode(raw_signature(key, signed_info)).decode()
    end = text.rindex("</")
    return (text[:end] + _signature(digest, value, chain) + text[end:]).encode()


def _signature(digest: str, value: str, chain: Sequence[Authority]) -> str:
    algorithm, c14n = "http://www.w3.org/2001/04/xmldsig-more", "http://www.w3.org/2006/12/xml-c14n11"
    certificates = "".join(f"<ds:X509Certificate>{base64.encodebytes(party.der).decode().strip()}</ds:X509Certificate>" for party in chain)
    return (
        f'<ds:Signature xmlns:ds="{_DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{c14n}"/>'
        f'<ds:SignatureMethod Algorithm="{algorithm}#ecdsa-sha384"/><ds:Reference URI=""><ds:Transforms>'
        f'<ds:Transform Algorithm="{_DS}enveloped-signature"/><ds:Transform Algorithm="{c14n}"/></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{algorithm}#sha384"/><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>'
        f"<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"
    )


def _resource(index: int, values: Sequence[bytes] | None) -> str:
    shown = values or [bytes(48)]
    digests = " ".join(f'ns2:Hash{at}="{value.hex()}"' for at, value in enumerate(shown))
    return (
        f'        <ns0:Resource type="Measurement" index="{index}" active="{values is not None}" alternatives="{len(shown)}" '
        f'{digests} name="Measurement_{index}" size="48"/>'
    )


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """ECDSA with SHA-384, r and s big endian."""
    size = (key.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA384()))))
