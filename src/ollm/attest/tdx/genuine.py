"""Whether a quote is genuine: made by the hardware it names, vouched for by the root we pin, not revoked.

Roots are types. `VendorRoot` is what dcap-qvl has compiled in and takes no argument, so no configuration can replace it;
`SimulatedRoot` exists only for a policy that pins one, and such a policy accepts nothing of the vendor's.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import dcap_qvl
import msgspec
from cryptography import x509

from ollm.attest.certificates import (
    Period,
    certificate_period,
    check_crl,
    check_issued,
    check_not_revoked,
    check_periods,
    load_certificate,
)
from ollm.attest.evidence import CollateralNeed
from ollm.attest.tdx import refusals
from ollm.attest.tdx.collateral import ParsedCollateral
from ollm.attest.tdx.layout import PckChain, TdxQuote
from ollm.errors import EvidenceRefused
from ollm.values.policy import TdxPolicy
from ollm.values.structs import resolved

# SHA-256 of the DER of "Intel SGX Root CA", https://certificates.trustedservices.intel.com/IntelSGXRootCA.der (2018 to 2049)
INTEL_ROOT_SHA256 = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"

_T = TypeVar("_T")


class VendorRoot:
    """Intel's root, as dcap-qvl has it compiled in."""

    sha256 = INTEL_ROOT_SHA256
    simulated = False

    def verifier(self, root_der: bytes) -> dcap_qvl.QuoteVerifier:
        """A verifier under the compiled-in root; the quote's copy of the root is only compared with its digest."""
        return dcap_qvl.QuoteVerifier()


class SimulatedRoot:
    """The root of one installation's simulated hardware, named by its SHA-256 in the policy that admits it."""

    simulated = True

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256

    def verifier(self, root_der: bytes) -> dcap_qvl.QuoteVerifier:
        """A verifier under `root_der`, whose digest `check_root` has compared with the pin."""
        return dcap_qvl.QuoteVerifier(root_der)


def root_of(policy: TdxPolicy) -> VendorRoot | SimulatedRoot:
    """The one root that `policy` admits."""
    return VendorRoot() if policy.simulated_root_sha256 is None else SimulatedRoot(policy.simulated_root_sha256)


class PckCertificates(msgspec.Struct, frozen=True):
    """The chain of the platform's key, parsed."""

    leaf: x509.Certificate
    ca: x509.Certificate
    root: x509.Certificate

    @property
    def periods(self) -> tuple[Period, ...]:
        return (
            certificate_period(self.leaf, "PCK certificate"),
            certificate_period(self.ca, "PCK CA certificate"),
            certificate_period(self.root, "root certificate"),
        )


class PlatformClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What the library found about the platform, under the collateral given to it."""

    tcb_status: str  # the worst of platform, TDX module and QE
    advisories: tuple[str, ...]
    tcb_date: str  # of the platform's level, RFC 3339: whoever is at this level has what Intel had published by then
    tcb_evaluation_data_number: int  # the lower of TCB info's and QE identity's
    current_tcb_status: str | None  # by TEE_TCB_SVN_2, the module that runs now; TD report 1.5 only
    qe_tcb_status: str
    qe_tcb_date: str
    fmspc: str  # 12 uppercase hex
    ppid: str  # 32 hex: names the machine for life
    dynamic_platform: str  # "True", "False", or "Undefined" when the PCK certificate doesn't say
    cached_keys: str
    smt: str


def load_chain(chain: PckChain) -> PckCertificates:
    """Parse the certificates. Raises: EvidenceRefused with quote.certification_data."""
    return PckCertificates(*(load_certificate(der, "quote.certification_data") for der in (chain.leaf, chain.ca, chain.root)))


def collateral_need(quote: TdxQuote) -> CollateralNeed:
    """FMSPC and CA from the PCK certificate. Raises: EvidenceRefused with quote.certification_data."""
    try:
        parsed = _library(lambda: dcap_qvl.parse_quote(quote.raw))
        return CollateralNeed(str(parsed.fmspc()), str(parsed.ca()))
    except ValueError:
        raise EvidenceRefused("quote.certification_data", "a PCK certificate without FMSPC", "Intel's SGX extension in it") from None


def check_root(chain: PckChain, root: VendorRoot | SimulatedRoot) -> None:
    """The root in the quote is, byte for byte, the pinned one. Raises: EvidenceRefused."""
    digest = hashlib.sha256(chain.root).hexdigest()
    if digest != root.sha256:
        raise EvidenceRefused("chain.root", f"root with SHA-256 {digest}", root.sha256)


def check_pck_chain(chain: PckCertificates, now: int) -> None:
    """Root signed CA, CA signed leaf, and all hold now. Raises: EvidenceRefused."""
    check_periods(chain.periods, now, "chain.pck")
    check_issued(chain.leaf, chain.ca, "chain.pck", "PCK certificate")
    check_issued(chain.ca, chain.root, "chain.pck", "PCK CA certificate")


def check_signers(collateral: ParsedCollateral, chain: PckCertificates) -> None:
    """The certificates that sign TCB info and QE identity were issued by the same root. Raises: EvidenceRefused."""
    for signer, name in ((collateral.tcb_signing, "TCB info signer"), (collateral.qe_signing, "QE identity signer")):
        check_issued(signer, chain.root, "chain.tcb_signing", name)


def check_revocation(collateral: ParsedCollateral, chain: PckCertificates) -> None:
    """Both CRLs are by their issuers, and none lists a certificate that we rely on. Raises: EvidenceRefused."""
    check = "chain.revocation"
    _check_crls(collateral, chain.root, chain.ca)
    for certificate, name in (
        (chain.root, "root certificate"),
        (chain.ca, "PCK CA certificate"),
        (collateral.tcb_signing, "TCB info signer"),
        (collateral.qe_signing, "QE identity signer"),
    ):
        check_not_revoked(collateral.root_crl, certificate, check, name)
    check_not_revoked(collateral.pck_crl, chain.leaf, check, "PCK certificate")


@lru_cache(maxsize=64)
def _check_crls(collateral: ParsedCollateral, root: x509.Certificate, ca: x509.Certificate) -> None:
    """Both CRLs are by their issuers: remembered for this very collateral, as the machines of one family share it."""
    check_crl(collateral.root_crl, root, "chain.revocation", "root CRL")
    check_crl(collateral.pck_crl, ca, "chain.revocation", "PCK CRL")


def verify(quote: TdxQuote, collateral: ParsedCollateral, root: VendorRoot | SimulatedRoot, now: int) -> PlatformClaims:
    """Let the library verify everything: chains, CRLs, signed collateral, QE, quote signature, TCB level.

    It also refuses revoked platforms, and nothing else by policy: what status is good enough is judged in `wanted`.
    Raises: EvidenceRefused with the check that its sentence is mapped to.
    """
    source = msgspec.structs.asdict(collateral.source)
    try:
        claims = _library(
            lambda: root.verifier(quote.pck_chain.root).verify_with_policy(
                quote.raw, dcap_qvl.QuoteCollateralV3(**source), now, dcap_qvl.QuotePolicy.claims_only(now)
            )
        )
    except ValueError as error:
        raise refusals.refusal(str(error)) from None
    return _platform_claims(claims.to_json())


class _Tcb(msgspec.Struct):
    status: str
    advisory_ids: tuple[str, ...]
    eval_data_number: int


class _Level(msgspec.Struct, rename="camel"):
    tcb_date: str
    tcb_status: str


class _Pck(msgspec.Struct):
    fmspc: list[int]
    ppid: list[int]
    dynamic_platform: str
    cached_keys: str
    smt_enabled: str


class _Platform(msgspec.Struct):
    pck: _Pck
    tcb_level: _Level
    current_tcb_level: _Level | None


class _Qe(msgspec.Struct):
    tcb_level: _Level


@resolved
class _Claims(msgspec.Struct):
    tcb: _Tcb
    platform: _Platform
    qe: _Qe


def _platform_claims(document: str) -> PlatformClaims:
    try:
        claims = msgspec.json.decode(document, type=_Claims)
        fmspc, ppid = bytes(claims.platform.pck.fmspc).hex().upper(), bytes(claims.platform.pck.ppid).hex()
    except (msgspec.MsgspecError, ValueError):
        raise EvidenceRefused(refusals.CATCH_ALL, "claims in a form that is not known", "the claims of dcap-qvl 0.7") from None
    platform, qe = claims.platform, claims.qe.tcb_level
    return PlatformClaims(
        tcb_status=claims.tcb.status,
        advisories=claims.tcb.advisory_ids,
        tcb_date=platform.tcb_level.tcb_date,
        tcb_evaluation_data_number=claims.tcb.eval_data_number,
        current_tcb_status=platform.current_tcb_level.tcb_status if platform.current_tcb_level is not None else None,
        qe_tcb_status=qe.tcb_status,
        qe_tcb_date=qe.tcb_date,
        fmspc=fmspc,
        ppid=ppid,
        dynamic_platform=platform.pck.dynamic_platform,
        cached_keys=platform.pck.cached_keys,
        smt=platform.pck.smt_enabled,
    )


def _library(call: Callable[[], _T]) -> _T:
    """Run a call into dcap-qvl. Its Rust panics arrive as a BaseException that would stop the event loop: they become ValueError."""
    try:
        return call()
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError("panic") from None
        raise
