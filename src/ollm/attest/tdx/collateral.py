"""Collateral, parsed so far that its periods, revocations and signers can be judged and explained.

The verifying library judges it too and has the last word on Intel's signatures and the TCB. It does not refuse a CRL from the
future, names neither the certificate nor the document at fault, and says nothing of when an acceptance ends.
"""

import re
from datetime import datetime
from functools import lru_cache

import msgspec
from cryptography import x509

from ollm.attest.certificates import Period, certificate_period, crl_period, load_chain, load_crl
from ollm.attest.evidence import TdxCollateral
from ollm.errors import EvidenceRefused
from ollm.values.structs import resolved

_CHECK = "collateral.format"
_MAX_MEMBER = 1024 * 1024  # a PCK CRL of some thousand entries has 200 KB
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class _Svn(msgspec.Struct, frozen=True):
    isvsvn: int


class ModuleLevel(msgspec.Struct, frozen=True, rename="camel"):
    """What Intel says of one TDX module from one SVN on."""

    tcb: _Svn
    tcb_date: str
    tcb_status: str


class _ModuleIdentity(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    tcb_levels: tuple[ModuleLevel, ...]


@resolved
class _Document(msgspec.Struct, frozen=True, rename="camel"):
    """TCB info or QE identity, as far as it is read here."""

    issue_date: str
    next_update: str
    tdx_module_identities: tuple[_ModuleIdentity, ...] = ()


class ParsedCollateral(msgspec.Struct, frozen=True, eq=False):
    """Collateral in the types that our own checks need. Two of them are equal when they are one: `parse` gives the same for the same."""

    source: TdxCollateral
    root_crl: x509.CertificateRevocationList
    pck_crl: x509.CertificateRevocationList
    tcb_signing: x509.Certificate
    qe_signing: x509.Certificate
    module_identities: tuple[_ModuleIdentity, ...]
    periods: tuple[Period, ...]

    def module_level(self, tee_tcb_svn: bytes) -> ModuleLevel | None:
        """The level of the TDX module with this SVN: byte 1 names the module, byte 0 is its SVN. None for modules of version 0."""
        name = f"TDX_{tee_tcb_svn[1]:02X}"
        levels = (level for identity in self.module_identities if identity.id == name for level in identity.tcb_levels)
        return next((level for level in levels if level.tcb.isvsvn <= tee_tcb_svn[0]), None)


@lru_cache(maxsize=64)
def parse(collateral: TdxCollateral) -> ParsedCollateral:
    """Parse `collateral`. Raises: EvidenceRefused with collateral.format."""
    for name, member in msgspec.structs.asdict(collateral).items():
        if len(member) > _MAX_MEMBER:
            raise EvidenceRefused(_CHECK, f"{name} of {len(member)} bytes", f"at most {_MAX_MEMBER}")
    root_crl, pck_crl = load_crl(collateral.root_ca_crl, _CHECK, "root CRL"), load_crl(collateral.pck_crl, _CHECK, "PCK CRL")
    tcb_signing = load_chain(collateral.tcb_info_issuer_chain, _CHECK, "TCB info issuer chain")[0]
    qe_signing = load_chain(collateral.qe_identity_issuer_chain, _CHECK, "QE identity issuer chain")[0]
    tcb_info, tcb_info_period = _document(collateral.tcb_info, "TCB info")
    _, qe_identity_period = _document(collateral.qe_identity, "QE identity")
    periods = (
        tcb_info_period,
        qe_identity_period,
        crl_period(root_crl, _CHECK, "root CRL"),
        crl_period(pck_crl, _CHECK, "PCK CRL"),
        certificate_period(tcb_signing, "TCB info signer"),
        certificate_period(qe_signing, "QE identity signer"),
    )
    return ParsedCollateral(collateral, root_crl, pck_crl, tcb_signing, qe_signing, tcb_info.tdx_module_identities, periods)


def _document(document: str, name: str) -> tuple[_Document, Period]:
    try:
        parsed = msgspec.json.decode(document, type=_Document)
        return parsed, Period(name, _seconds(parsed.issue_date), _seconds(parsed.next_update))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise EvidenceRefused(_CHECK, f"{name} without its dates", "JSON with issueDate and nextUpdate, as 2026-01-31T00:00:00Z") from None


def _seconds(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise ValueError
    return int(datetime.fromisoformat(text).timestamp())
