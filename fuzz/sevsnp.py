"""AMD SEV-SNP: report, certificates and CRL, and the appraisal with each of them damaged; also reports damaged before they are signed."""

from collections.abc import Sequence
from functools import cache

import msgspec

from fuzz.target import Target, member, members
from fuzz.world import NOW
from ollm.attest.checks import Trail
from ollm.attest.evidence import SnpCollateral, SnpEvidence
from ollm.attest.sevsnp import appraise, layout, need
from ollm.testing.mint.snp import SnpMachine, sign_report
from ollm.testing.mint.snp_certificates import create_pki

_SIGNED = 0x2A0  # bytes of a report before its signature
_PARTS = ("leaf", "chain", "crl")


@cache
def _machine() -> SnpMachine:
    return SnpMachine(create_pki("Genoa", NOW), NOW)


@cache
def _collateral() -> SnpCollateral:
    return _machine().collateral()


@cache
def _reports() -> Sequence[bytes]:
    return tuple(_machine().report(version=version) for version in (2, 3, 5))


def _signed_reports() -> Sequence[bytes]:
    return [report[:_SIGNED] for report in _reports()]


def _collateral_seeds() -> Sequence[bytes]:
    collateral = _collateral()
    return members([collateral.leaf, collateral.chain.encode(), collateral.crl or b""])


def _damaged_collateral(data: bytes) -> SnpCollateral:
    name, value = member(_PARTS, data)
    return msgspec.structs.replace(_collateral(), **{name: value.decode("utf-8", "surrogateescape") if name == "chain" else value})


def _appraised(report: bytes, collateral: SnpCollateral) -> object:
    policy = _machine().policy()
    return appraise.genuine_report(Trail(appraise.plan(policy)), SnpEvidence(report=report), collateral, policy, NOW)


def _signed(data: bytes) -> object:
    return _appraised(sign_report(data[:_SIGNED], _machine().key), _collateral())


_RECORDED = ("snp/*.bin",)
TARGETS = (
    Target("snp-report", layout.parse_report, _reports, recorded=_RECORDED),
    Target("snp-need", need.collateral_need, _reports, recorded=_RECORDED),
    Target("snp-report-appraised", lambda data: _appraised(data, _collateral()), _reports, recorded=_RECORDED, heavy=True),
    Target("snp-report-signed", _signed, _signed_reports, heavy=True),
    Target("snp-collateral-appraised", lambda data: _appraised(_reports()[0], _damaged_collateral(data)), _collateral_seeds, text=True),
)
