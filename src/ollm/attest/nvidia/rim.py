"""NVIDIA's reference files (RIM): which measurements a driver or a VBIOS has, in a signed XML document.

    SoftwareIdentity (ISO/IEC 19770-2:2015)   name
      Meta                                     colloquialVersion, product, edition
      Payload
        Resource type="Measurement"            index, active, size, alternatives, Hash0 … in the namespace of SHA-384; one for each index
      Signature (XML-DSig)                     enveloped, of the whole document: one reference, c14n 1.1, ECDSA with SHA-384;
                                               KeyInfo holds the chain: signer, two CAs, root

A document that isn't of exactly this form is refused before its signature is looked at: nothing may stand before or after what is
signed, and no DTD, comment, processing instruction or other spelling of characters exists for it to hide in. After that, only the
element that the verifying library returns as signed is read. What can be changed without breaking the signature is spelling alone:
white space in tags and around base64; so the identity of a file is the digest of its canonical form, never of its bytes.

lxml and signxml come with the extra `nvidia` and are imported when the first file is read.

Sources: TCG Reference Integrity Manifest Information Model 1.01; W3C XML Signature Syntax and Processing 1.1; NVIDIA attestation SDK,
RimDocument.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from cryptography import x509

from ollm.attest import certificates
from ollm.attest.certificates import refusing
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

if TYPE_CHECKING:
    from lxml.etree import _Element

_KEPT = 16  # files, at most MAX_RIM each: two for each model of device that a fleet runs at one time
MAX_RIM = 256 * 1024  # real ones have 20 to 26 KB
SIGNER_NAMES = ("signer", "product CA", "chip CA", "root")
_MAX_ALTERNATIVES = 64
_MAX_INDEX = 255
_FORMAT = "rim.format"
_SIGNATURE = "rim.signature"
_SWID = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
_DS = "{http://www.w3.org/2000/09/xmldsig#}"
_HASH = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_C14N11 = "http://www.w3.org/2006/12/xml-c14n11"
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_BASE64 = re.compile(r"[A-Za-z0-9+/\n]{4,8192}={0,2}\n?")
_ATTRIBUTES = ("type", "index", "active", "alternatives", "name", "size")
_NUMBERS = {str(number): number for number in range(256)}  # each has one spelling
_HEX = re.compile(r"([0-9a-f]{2})+")

# The one form of a Signature; the text of some elements is read.
_Form: TypeAlias = tuple[str, dict[str, str], list["_Form"]]
_SIGNATURE_FORM: _Form = (
    "Signature",
    {},
    [
        (
            "SignedInfo",
            {},
            [
                ("CanonicalizationMethod", {"Algorithm": _C14N11}, []),
                ("SignatureMethod", {"Algorithm": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"}, []),
                (
                    "Reference",
                    {"URI": ""},
                    [
                        ("Transforms", {}, [("Transform", {"Algorithm": _ENVELOPED}, []), ("Transform", {"Algorithm": _C14N11}, [])]),
                        ("DigestMethod", {"Algorithm": "http://www.w3.org/2001/04/xmldsig-more#sha384"}, []),
                        ("DigestValue", {}, []),
                    ],
                ),
            ],
        ),
        ("SignatureValue", {}, []),
        ("KeyInfo", {}, [("X509Data", {}, [("X509Certificate", {}, []) for _ in SIGNER_NAMES])]),
    ],
)


class Reference(msgspec.Struct, frozen=True):
    """One active measurement: any of `values` may be the device's."""

    index: int  # from 0; the report's block index + 1
    values: tuple[bytes, ...]


class Document(msgspec.Struct, frozen=True):
    """A file of the right form; nothing in it is verified yet."""

    name: str  # what it is to be: driver RIM or VBIOS RIM
    data: bytes
    chain: tuple[x509.Certificate, ...]

    @property
    def signer_names(self) -> tuple[str, ...]:
        return tuple(f"{name} of the {self.name}" for name in SIGNER_NAMES)


class Rim(msgspec.Struct, frozen=True):
    """A genuine file: who signed it is who is pinned."""

    name: str
    product: str
    edition: str  # GPU or SWITCH
    version: str
    references: tuple[Reference, ...]  # the active ones, by index
    identity: Hex32  # SHA-256 of the canonical form that was signed


# Files are the same for every device of a model, and for weeks: what the same bytes were found to be is kept, successes only.
@lru_cache(maxsize=_KEPT)
def parse(data: bytes | None, name: str) -> Document:
    """Read the form of a file and the certificates in it. Raises: EvidenceRefused with rim.present, rim.format or rim.signature."""
    if data is None:
        raise EvidenceRefused("rim.present", f"no {name}", "NVIDIA's reference file for what the device runs")
    root = _root(data)
    if root.tag != f"{_SWID}SoftwareIdentity":
        raise EvidenceRefused(_FORMAT, f"element {str(root.tag)[:80]!a}", "SoftwareIdentity of ISO/IEC 19770-2")
    signatures = root.findall(f".//{_DS}Signature")
    if len(signatures) != 1 or root[-1] is not signatures[0] or _form(signatures[0]) != _SIGNATURE_FORM:
        _references(root)  # says what else is wrong, if anything; nothing is taken from it
        raise EvidenceRefused(_SIGNATURE, f"{len(signatures)} signatures, or another kind", "one of the whole document at its end, by a chain of 4")
    _base64(signatures[0].findtext(f"{_DS}SignatureValue"), _SIGNATURE)
    texts = [element.text for element in signatures[0].iter(f"{_DS}X509Certificate")]
    return Document(name, data, tuple(certificates.load_certificate(_base64(text, _FORMAT), _FORMAT) for text in texts))


def verify(document: Document) -> Rim:
    """Verify the signature by the first certificate of the chain, and read what is signed. Whether that certificate holds now is
    judged apart (`rim.validity`). Raises: EvidenceRefused.
    """
    return _verified(document.data, document.name)


@lru_cache(maxsize=_KEPT)
def _verified(data: bytes, name: str) -> Rim:
    document = parse(data, name)
    _, signxml = _libraries()
    with _foreign(_SIGNATURE, f"a {document.name} whose signature doesn't verify", "the signer's, of this file"):
        result = signxml.XMLVerifier().verify(
            document.data,
            x509_cert=document.chain[0],
            parser=_parser(),
            validate_schema=False,  # `parse` allowed one form only
            expect_config=signxml.SignatureConfiguration(
                location="./",
                signature_methods=frozenset({signxml.SignatureMethod.ECDSA_SHA384}),
                digest_algorithms=frozenset({signxml.DigestAlgorithm.SHA384}),
                verification_time=document.chain[0].not_valid_before_utc,  # the library would ask the machine's clock
            ),
        )
    signed: _Element = result.signed_xml
    metas = signed.findall(f"{_SWID}Meta")
    if len(metas) != 1:
        raise EvidenceRefused(_FORMAT, f"{len(metas)} Meta elements", "1")
    product, edition, version = (metas[0].get(name) for name in ("product", "edition", "colloquialVersion"))
    if not product or not edition or not version:
        raise EvidenceRefused(_FORMAT, "Meta without product, edition or colloquialVersion", "all three")
    references = tuple(Reference(index, _values(values, size)) for index, size, values in _references(signed))
    if not references:
        raise EvidenceRefused(_FORMAT, "no active measurement", "at least one")
    return Rim(document.name, product, edition, version, references, Hex32(hashlib.sha256(result.signed_data).hexdigest()))


def _references(root: "_Element") -> list[tuple[int, int, list[str]]]:
    """Index, size and values, as text, of each active measurement."""
    payloads = root.findall(f"{_SWID}Payload")
    if len(payloads) != 1 or not len(payloads[0]):
        raise EvidenceRefused(_FORMAT, f"{len(payloads)} payloads" if len(payloads) != 1 else "an empty payload", "one with measurements")
    seen: set[int] = set()
    active: list[tuple[int, int, list[str]]] = []
    for element in payloads[0]:
        attributes = {str(name): str(value) for name, value in element.attrib.items()}
        index = _number(attributes, "index", _MAX_INDEX)
        if element.tag != f"{_SWID}Resource" or attributes.get("type") != "Measurement" or index in seen:
            raise EvidenceRefused(_FORMAT, f"another element, or index {index} twice", "one measurement for each index")
        seen.add(index)
        size, alternatives = _number(attributes, "size", _MAX_INDEX), _number(attributes, "alternatives", _MAX_ALTERNATIVES)
        hashes = [f"{_HASH}{at}" for at in range(alternatives)]
        if attributes.keys() != {*_ATTRIBUTES, *hashes} or not hashes:
            raise EvidenceRefused(
                _FORMAT, f"other attributes of index {index}", f"{alternatives} digests in SHA-384's namespace and what tells of them"
            )
        if attributes["active"] not in ("True", "False"):
            raise EvidenceRefused(_FORMAT, f"index {index} neither active nor not", "True or False")
        if attributes["active"] == "True":
            active.append((index, size, [attributes[name] for name in hashes]))
    return active


def _form(element: "_Element") -> _Form:
    """Tag, attributes and children, as `_SIGNATURE_FORM` has them; an element of another namespace keeps its own in the tag."""
    return str(element.tag).removeprefix(_DS), {str(name): str(value) for name, value in element.attrib.items()}, [_form(child) for child in element]


def _number(attributes: Mapping[str, str], name: str, maximum: int) -> int:
    text = attributes.get(name, "")
    number = _NUMBERS.get(text)
    if number is None or number > maximum:
        raise EvidenceRefused(_FORMAT, f"{name} {text[:40]!a}", f"a number up to {maximum}")
    return number


def _values(texts: Iterable[str], size: int) -> tuple[bytes, ...]:
    for text in texts:
        if _HEX.fullmatch(text) is None or len(text) != 2 * size:
            raise EvidenceRefused(_FORMAT, f"digest {text[:40]!a}", f"{size} bytes in hex")
    return tuple(bytes.fromhex(text) for text in texts)


def _base64(text: str | None, check: str) -> bytes:
    """Base64 in its one spelling, but for line ends. Raises: EvidenceRefused naming `check`."""
    compact = (text or "").replace("\n", "")
    if _BASE64.fullmatch(text or "") is not None and len(compact) % 4 == 0:
        decoded = base64.b64decode(compact)
        if base64.b64encode(decoded).decode() == compact:
            return decoded
    raise EvidenceRefused(check, "something that is no base64", "base64 in lines")


def _root(data: bytes) -> "_Element":
    if len(data) > MAX_RIM:
        raise EvidenceRefused(_FORMAT, f"{len(data)} bytes", f"at most {MAX_RIM}")
    if b"<!" in data or b"<?" in data.removeprefix(b"<?xml ") or b"&" in data:
        raise EvidenceRefused(_FORMAT, "a DTD, comment, processing instruction, CDATA section or reference", "elements and text only")
    etree, _ = _libraries()
    with _foreign(_FORMAT, "bytes that are no XML", "well-formed XML in UTF-8"):
        root: _Element = etree.fromstring(data, parser=_parser())
    return root


def _parser() -> Any:
    """Forced to UTF-8, so that no declared encoding can hide what `_root` looks for."""
    etree, _ = _libraries()
    return etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, dtd_validation=False)


@contextmanager
def _foreign(check: str, got: str, want: str) -> Iterator[None]:
    """Turn whatever the XML libraries raise in the block into this refusal."""
    etree, signxml = _libraries()
    try:
        with refusing(check, got, want):
            yield
    except (etree.LxmlError, signxml.exceptions.SignXMLException):
        raise EvidenceRefused(check, got, want) from None


def _libraries() -> tuple[Any, Any]:
    """lxml.etree and signxml, from the extra. Raises: EvidenceRefused when it isn't installed."""
    try:
        import signxml
        from lxml import etree
    except ImportError:
        raise EvidenceRefused(_FORMAT, "no library that verifies XML signatures", "the extra nvidia: pip install 'ollm[nvidia]'") from None
    return etree, signxml
