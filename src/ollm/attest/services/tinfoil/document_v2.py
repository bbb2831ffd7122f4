"""v2: {"format": URI, "body": base64 of gzip of the raw report}. Made once, when the machine booted: no nonce, and no time.

What is fresh about it is the channel alone: whoever answers there holds the key that the report names.
"""

import zlib

import msgspec

from ollm.attest.services.tinfoil.bound import FORMAT, Stated, cpu_evidence, decoded, from_base64, v2_keys
from ollm.errors import EvidenceRefused

SNP = "https://tinfoil.sh/predicate/sev-snp-guest/v2"
TDX = "https://tinfoil.sh/predicate/tdx-guest/v2"

_MAX_RAW = 32 * 1024  # bytes; a quote has 5 KB
_GZIP = 31  # zlib: gzip with the largest window


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    body: str


def parse(report: bytes) -> Stated:
    """What the document states. Raises: EvidenceRefused with tinfoil.format."""
    document = decoded(report, _Document)
    if document.format not in (SNP, TDX):
        raise EvidenceRefused(FORMAT, f"format {document.format[:80]!a}", f"{SNP} or {TDX}")
    raw = _unpacked(from_base64(document.body, "a body"))
    cpu = cpu_evidence("tdx" if document.format == TDX else "sev-snp", raw)
    spki, hpke = v2_keys(cpu)
    return Stated(cpu=cpu, spki=spki, hpke=hpke, nonce=None, report_data=None)


def _unpacked(packed: bytes) -> bytes:
    """One gzip member and nothing behind it, never more than _MAX_RAW bytes of it in memory."""
    gunzip = zlib.decompressobj(_GZIP)
    try:
        raw = gunzip.decompress(packed, _MAX_RAW)
    except zlib.error:
        raise EvidenceRefused(FORMAT, "a body that is not gzip", "one gzip member") from None
    if not gunzip.eof or gunzip.unused_data or gunzip.unconsumed_tail:
        raise EvidenceRefused(FORMAT, "a body that is cut, followed by something, or too large", f"one gzip member of at most {_MAX_RAW} bytes")
    return raw
