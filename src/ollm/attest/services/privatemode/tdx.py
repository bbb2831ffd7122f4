"""A TDX quote as Contrast hands it on: taken apart into messages, one for each structure. Put together again it is what Intel's enclave signed.

Padding behind the quote (`extra bytes`, in which Contrast may send collateral) is left out: nothing signs it, and collateral is fetched by us.

Sources: google/go-tdx-guest, proto/tdx.proto and abi; edgelesssys/contrast, internal/attestation/tdx. Layout: Intel TDX DCAP Quoting
Library API, appendix A.3 (version 4).
"""

from ollm.attest.evidence import TdxEvidence
from ollm.attest.services.privatemode.protobuf import Message

# Fields in the order of the quote's bytes: number and size; a negative size is that of a little-endian number.
_HEADER = ((1, -2), (2, -2), (3, -4), (5, 2), (4, 2), (6, 16), (7, 20))
_BODY = ((1, 16), (2, 48), (3, 48), (4, 8), (5, 8), (6, 8), (7, 48), (8, 48), (9, 48), (10, 48))
_QE_REPORT = ((1, 16), (2, -4), (3, 28), (4, 16), (5, 32), (6, 32), (7, 32), (8, 96), (9, -2), (10, -2), (11, 60), (12, 64))
_RTMR, _RTMRS, _REPORT_DATA = 11, 4, 12


def evidence(quote: Message) -> TdxEvidence:
    """The quote that was signed. Raises: EvidenceRefused."""
    body = quote.message(2, "a TD report", repeated=_RTMR)
    signed = quote.message(4, "signature data")
    return TdxEvidence(
        quote=b"".join(
            (
                _packed(quote.message(1, "a header"), _HEADER),
                _packed(body, _BODY),
                *body.several(_RTMRS, 48),
                body.octets(_REPORT_DATA, 64),
                _packed(quote, ((3, -4),)),
                _packed(signed, ((1, 64), (2, 64))),
                _certification(signed.message(3, "certification data")),
            )
        )
    )


def _certification(outer: Message) -> bytes:
    inner = outer.message(3, "the QE's certification data")
    authentication, chain = inner.message(3, "the QE's authentication data"), inner.message(4, "a PCK chain")
    return b"".join(
        (
            _packed(outer, ((1, -2), (2, -4))),
            _packed(inner.message(1, "the QE's report"), _QE_REPORT),
            _packed(inner, ((2, 64),)),
            _packed(authentication, ((1, -2),)),
            authentication.rest(2),
            _packed(chain, ((1, -2), (2, -4))),
            chain.rest(3),
        )
    )


def _packed(message: Message, fields: tuple[tuple[int, int], ...]) -> bytes:
    return b"".join(message.octets(number, size) if size > 0 else message.number(number, -size).to_bytes(-size, "little") for number, size in fields)
