"""Minted devices of each architecture, made once, and how they are judged."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography import x509

from ollm.attest.checks import Trail
from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.facts import DeviceFacts
from ollm.attest.nvidia import appraise
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nvidia as mint
from ollm.values.policy import NvidiaPolicy
from tests.sim.hardware import NOW

if TYPE_CHECKING:
    from ollm.testing.mint.x509 import Authority

NONCE = bytes(range(32))
CHIPS = ("GH100", "GB100", "LS_10")


@cache
def device(chip: str) -> mint.Device:
    """An honest device; all share their roots."""
    return mint.create(NOW, chip, beside=None if chip == "GH100" else device("GH100").hierarchy).device()


@cache
def collateral(chip: str) -> NvidiaCollateral:
    """Everything for that device."""
    return device(chip).collateral(NOW)


GPU = device("GH100")
ENDORSED = collateral("GH100")
POLICY = GPU.hierarchy.policy()
WITHOUT_OCSP = GPU.hierarchy.policy(require_ocsp=False)


def judge(
    evidence: NvidiaEvidence, endorsed: NvidiaCollateral, policy: NvidiaPolicy = POLICY, now: int = NOW, nonce: bytes | None = NONCE
) -> DeviceFacts:
    """Appraise one device; every planned check must have been made. Raises: EvidenceRefused."""
    trail = Trail(appraise.plan(policy, nonce=nonce is not None))
    facts = appraise.genuine_device(trail, evidence, endorsed, policy, now, nonce=nonce)
    trail.completed()
    return facts


def refusal(
    evidence: NvidiaEvidence, endorsed: NvidiaCollateral, policy: NvidiaPolicy = POLICY, now: int = NOW, nonce: bytes | None = NONCE
) -> EvidenceRefused:
    """Why the device is refused."""
    with pytest.raises(EvidenceRefused) as caught:
        judge(evidence, endorsed, policy, now, nonce)
    return caught.value


def reporting(report: bytes, made_by: mint.Device = GPU) -> NvidiaEvidence:
    """That report with the device's own certificates."""
    return NvidiaEvidence(report=report, certificate_chain=made_by.pem)


def certified(parties: Sequence["Authority"], made_by: mint.Device = GPU) -> NvidiaEvidence:
    """The device's report with those certificates."""
    return NvidiaEvidence(report=made_by.report(NONCE), certificate_chain="".join(map(mint.pem, parties)))


def with_driver_rim(driver_rim: bytes) -> NvidiaCollateral:
    """The GPU's collateral with another driver RIM."""
    return msgspec.structs.replace(ENDORSED, driver_rim=driver_rim)


def parsed(parties: Sequence["Authority"]) -> tuple[x509.Certificate, ...]:
    return tuple(party.certificate for party in parties)
