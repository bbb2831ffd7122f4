"""What a machine's TLS certificate says of it in its names, as public logs of certificates keep it (v2).

    00<base32 …>.hpke.tinfoil.sh, 01<…>…    the X25519 key
    00<base32 …>.hatt.tinfoil.sh, 01<…>…    SHA-256, in hex, of the document's format and body

Nothing rests on it: who issued the certificate isn't asked, and the report itself names both keys. For people who compare with such logs.
Source: tinfoilsh/verifier; recorded certificates.
"""

import base64
import hashlib
import re

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ollm.attest.certificates import load_chain, refusing
from ollm.attest.services.tinfoil.bound import FORMAT, Stated, decoded
from ollm.errors import EvidenceRefused

_NAME = re.compile(r"([0-9]{2})([a-z2-7]{1,61})\.(hpke|hatt)\.tinfoil\.sh")
_MAX_NAMES = 100


class _Certificate(msgspec.Struct, frozen=True):
    certificate: str


class _Document(msgspec.Struct, frozen=True):
    format: str
    body: str


def fact(answer: bytes, report: bytes, stated: Stated) -> str:
    """One sentence about the certificate in `answer` (`GET /.well-known/tinfoil-certificate`)."""
    try:
        certificate = load_chain(decoded(answer, _Certificate).certificate, FORMAT, "a certificate")[0]
        with refusing(FORMAT, "a certificate that can't be read", "X.509"):
            spki = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except EvidenceRefused:
        return "it can't be read"
    if hashlib.sha256(spki).hexdigest() != stated.spki:
        return "it is for another key"
    document = decoded(report, _Document)
    wanted = {"hpke": stated.hpke, "hatt": hashlib.sha256(f"{document.format}{document.body}".encode()).hexdigest().encode()}
    found = {kind: _payload(names, kind) for kind in wanted}
    return "; ".join(f"{what} {_said(found[kind], wanted[kind])}" for kind, what in (("hpke", "sealing key:"), ("hatt", "report:")))


def _said(found: bytes | None, wanted: bytes | None) -> str:
    if found is None:
        return "not named"
    return "named" if found == wanted else "another is named"


def _payload(names: list[str], kind: str) -> bytes | None:
    """What the names of one kind spell together; None where there are none, or not all."""
    matches = [match for name in names[:_MAX_NAMES] if (match := _NAME.fullmatch(name)) is not None and match[3] == kind]
    pieces = {int(match[1]): match[2] for match in matches}
    if not pieces or sorted(pieces) != list(range(len(matches))):
        return None
    text = "".join(pieces[at] for at in range(len(pieces))).upper()
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return None
