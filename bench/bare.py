"""The bare cryptography in a piece of evidence: its certificates parsed and its signatures checked, and nothing else."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import dcap_qvl
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence, SnpCollateral, TdxCollateral
from ollm.attest.nitro import layout as nitro_layout
from ollm.attest.nvidia import chain as nvidia_chain
from ollm.attest.nvidia import rim
from ollm.attest.sevsnp import layout as snp_layout
from ollm.attest.tokens import keys, nras
from ollm.attest.tokens.jws import decode_base64url

_SHA384 = ec.ECDSA(hashes.SHA384())


@dataclass(frozen=True)
class Bare:
    """What has to be done at the least. `verifies` raise nothing, as the evidence is genuine."""

    certificates: tuple[bytes, ...]  # DER
    verifies: tuple[Callable[[], object], ...]
    what: str = ""  # where it is no list of signatures

    def __call__(self) -> None:
        for der in self.certificates:
            x509.load_der_x509_certificate(der)
        for verify in self.verifies:
            verify()

    def __str__(self) -> str:
        return self.what or f"{len(self.verifies)} signatures, {len(self.certificates)} certificates"


def _links(chain: Sequence[x509.Certificate]) -> list[Callable[[], object]]:
    """The signature of each certificate but the last, which is pinned."""
    return [partial(certificate.verify_directly_issued_by, issuer) for certificate, issuer in pairwise(chain)]


def _ders(chain: Iterable[x509.Certificate]) -> tuple[bytes, ...]:
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in chain)


def _signed(certificate: x509.Certificate, signature: bytes, data: bytes) -> Callable[[], object]:
    """An ECDSA signature in DER under the certificate's key."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("no ECDSA key")
    return partial(key.verify, signature, data, _SHA384)


def _raw(signature: bytes) -> bytes:
    """DER of r and s, big endian and side by side."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def of_tdx(quote: bytes, collateral: TdxCollateral, root_der: bytes | None, now: int) -> Bare:
    """The verifying library's own call, which checks every signature of quote and collateral. `root_der` None: Intel's root."""
    verifier = dcap_qvl.QuoteVerifier() if root_der is None else dcap_qvl.QuoteVerifier(root_der)
    endorsed = dcap_qvl.QuoteCollateralV3(**msgspec.structs.asdict(collateral))
    call = partial(verifier.verify_with_policy, quote, endorsed, now, dcap_qvl.QuotePolicy.claims_only(now))
    return Bare((), (call,), "dcap-qvl, once")


def of_snp(report: bytes, collateral: SnpCollateral) -> Bare:
    """Report, certificate of the key, ASK and CRL."""
    parsed = snp_layout.parse_report(report)
    chain = [x509.load_der_x509_certificate(collateral.leaf), *x509.load_pem_x509_certificates(collateral.chain.encode())]
    verifies = [_signed(chain[0], encode_dss_signature(parsed.r, parsed.s), parsed.signed), *_links(chain)]
    if collateral.crl is not None:
        crl = x509.load_der_x509_crl(collateral.crl)
        verifies.append(partial(crl.is_signature_valid, chain[-1].public_key()))  # type: ignore[arg-type]  # AMD's keys are RSA
    return Bare(_ders(chain), tuple(verifies))


def of_nitro(document: bytes) -> Bare:
    """Document and its chain."""
    parsed = nitro_layout.parse(document)
    chain = [x509.load_der_x509_certificate(der) for der in (parsed.certificate, *reversed(parsed.cabundle))]
    return Bare(_ders(chain), (_signed(chain[0], _raw(parsed.signature), parsed.signed), *_links(chain)))


def of_nvidia(evidence: NvidiaEvidence, collateral: NvidiaCollateral) -> Bare:
    """Report and its chain, both RIM files and theirs, and the revocation answers: each with a responder's certificate."""
    device = x509.load_pem_x509_certificates(evidence.certificate_chain.encode())
    verifies = [_signed(device[0], _raw(evidence.report[-96:]), evidence.report[:-96]), *_links(device)]
    certificates = list(device)
    relied = list(nvidia_chain.load_device_chain(evidence.certificate_chain))
    for data in (collateral.driver_rim, collateral.vbios_rim):
        if data is not None:
            document = rim.parse(data, "RIM")
            # The signature itself is over a canonical form; one over as many bytes costs the same.
            verifies += [_signed(device[0], _raw(evidence.report[-96:]), evidence.report[:-96]), *_links(document.chain)]
            certificates += document.chain
            relied += document.chain
    for answer in map(ocsp.load_der_ocsp_response, collateral.ocsp):
        (responder,) = answer.certificates
        issuer = next(certificate for certificate in relied if certificate.subject == responder.issuer)
        verifies += [_signed(responder, answer.signature, answer.tbs_response_bytes), partial(responder.verify_directly_issued_by, issuer)]
        certificates.append(responder)
    return Bare(_ders(certificates), tuple(verifies))


def of_nras(token: bytes, jwks: bytes) -> Bare:
    """Every token of a bundle, and the chain of the service's key."""
    bundle, published = nras.parse(token), keys.parse_key_set(jwks)
    signing = keys.signing_key(published, bundle.overall.key_id)
    parts = [(each.compact.rpartition(".")[0].encode(), decode_base64url(each.compact.rpartition(".")[2]) or b"") for each in bundle.tokens]
    verifies = [_signed(signing.chain[0], _raw(signature), signed) for signed, signature in parts]
    return Bare(_ders(signing.chain), (*verifies, *_links(signing.chain)))
