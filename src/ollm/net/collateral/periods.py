"""From when until when an artefact holds and which of two is the later one, read from its own bytes.

Signatures are not looked at: appraisal does that, and whatever is wrong with them is refused there.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import ocsp

from ollm.errors import CollateralError
from ollm.net.collateral.kinds import KINDS

_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# XML-DSig's ds:X509Certificate, whatever its prefix; a RIM holds its signer first, then the signer's issuers
_CERTIFICATE = re.compile(rb"<(?:[\w.-]{1,32}:)?X509Certificate>([A-Za-z0-9+/=\s]{1,16384})</")
_MAX_CERTIFICATES = 16


class Term(msgspec.Struct, frozen=True):
    """`start` (included) and `end` (excluded) in Unix seconds. `version` orders two artefacts of one request; empty: they have no order."""

    start: int
    end: int
    version: tuple[int, ...] = ()

    def before(self, other: "Term") -> bool:
        """Whether this artefact was superseded by `other`."""
        return len(self.version) == len(other.version) and self.version < other.version


def term(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    """When an artefact of `kind` that was had at `fetched_at` holds. Raises: CollateralError for one that can't be read."""
    title = KINDS[kind].title
    if not body or len(body) > KINDS[kind].max_bytes:
        raise CollateralError("stream", f"{title} of {len(body)} bytes")
    try:
        return _TERMS[kind](kind, body, headers, fetched_at)
    except _ERRORS:
        raise CollateralError("stream", f"no usable {title} in the answer") from None


def _held(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    """For JSON that names no end."""
    if not isinstance(json.loads(body), dict):
        raise ValueError
    return Term(fetched_at, fetched_at + (KINDS[kind].hold or 0))


def _document(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    """tcbInfo or QE identity (PCS API v4): its dates, and its signer's."""
    text, _ = signed_member(body, "tcbInfo" if kind == "tcb-info" else "enclaveIdentity")
    document = json.loads(text)
    issued, end = _seconds(document["issueDate"]), _seconds(document["nextUpdate"])
    return Term(issued, min(end, _chain_end(kind, headers)), (int(document["tcbEvaluationDataNumber"]), issued))


def _crl(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    crl = x509.load_der_x509_crl(body)
    end = crl.next_update_utc
    if end is None:
        raise ValueError
    issued = int(crl.last_update_utc.timestamp())
    return Term(issued, min(int(end.timestamp()), _chain_end(kind, headers)), (_crl_number(crl), issued))


def _crl_number(crl: x509.CertificateRevocationList) -> int:
    """RFC 5280 §5.2.3; 0 for a list without one, so that its date alone orders it."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def _certificate(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    return _together([x509.load_der_x509_certificate(body)])


def _pem(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    return _together(x509.load_pem_x509_certificates(body))


def _rim(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    return _together([x509.load_der_x509_certificate(der) for der in rim_certificates(body)])


def _ocsp(kind: str, body: bytes, headers: Mapping[str, str], fetched_at: int) -> Term:
    """RFC 6960 §4.2.2.1. An answer without nextUpdate says that newer information is available all the time: it is not kept."""
    answer = ocsp.load_der_ocsp_response(body)
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError
    starts, ends = [], []
    for single in answer.responses:
        if single.next_update_utc is None:
            raise ValueError
        starts.append(int(single.this_update_utc.timestamp()))
        ends.append(int(single.next_update_utc.timestamp()))
    return Term(max(starts), min(ends), (max(starts),))


def _together(certificates: Iterable[x509.Certificate]) -> Term:
    periods = [(int(each.not_valid_before_utc.timestamp()), int(each.not_valid_after_utc.timestamp())) for each in certificates]
    return Term(max(start for start, _ in periods), min(end for _, end in periods))


_TERMS: dict[str, Callable[[str, bytes, Mapping[str, str], int], Term]] = {
    "tcb-info": _document,
    "qe-identity": _document,
    "pck-crl": _crl,
    "root-crl": _crl,
    "vcek": _certificate,
    "amd-chain": _pem,
    "amd-crl": _crl,
    "rim": _rim,
    "ocsp": _ocsp,
    "nras-keys": _held,
    "sigstore-root": _held,
}


def signed_member(body: bytes, member: str) -> tuple[str, bytes]:
    """The exact text of object `member` in `body`, and the signature beside it. Raises: CollateralError."""
    try:
        text = body.decode()
        start = text.index("{", text.index(f'"{member}"') + len(member) + 2)
        _, end = json.JSONDecoder().raw_decode(text, start)
        signature = bytes.fromhex(json.loads(text)["signature"])
        if len(signature) != 64:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CollateralError("stream", f"the answer has no usable {member}") from None
    return text[start:end], signature


def rim_certificates(rim: bytes) -> tuple[bytes, ...]:
    """DER of the certificates in a RIM's signature, the signer's first. Raises: CollateralError for a RIM without any."""
    try:
        found = tuple(base64.b64decode(b"".join(text.split()), validate=True) for text in _CERTIFICATE.findall(rim))
    except binascii.Error:
        found = ()
    if not 0 < len(found) <= _MAX_CERTIFICATES:
        raise CollateralError("stream", "no usable NVIDIA RIM in the answer")
    return found


def chain(kind: str, headers: Mapping[str, str]) -> str:
    """The issuer chain that PCS sends in a header, percent-encoded PEM. Raises: CollateralError."""
    header = KINDS[kind].headers[0]
    found = headers.get(header)
    if not found:
        raise CollateralError("headers", f"the answer lacks {header}")
    return unquote(found)


def _chain_end(kind: str, headers: Mapping[str, str]) -> int:
    """When the first certificate of the issuer chain ends; far away for a kind that has none."""
    if not KINDS[kind].headers:
        return 2**53
    return _together(x509.load_pem_x509_certificates(chain(kind, headers).encode())).end


def _seconds(text: Any) -> int:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError
    return int(datetime.fromisoformat(text).timestamp())
