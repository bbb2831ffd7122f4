"""Judging evidence that lies in files: collateral from the network, a directory or an archive; the time is the caller's."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from ollm.attest import composition
from ollm.attest.checks import unjudged
from ollm.attest.evidence import DeviceCollateral, DeviceEvidence, Expected, MachineCollateral, MachineEvidence, NrasCollateral, NrasEvidence
from ollm.attest.machine import appraise_machine
from ollm.config.settings import CollateralSettings
from ollm.errors import ConfigError, EvidenceRefused, UpstreamError
from ollm.net.clock import StandingClock
from ollm.net.collateral import Asker, CollateralCache, Shelf, archive
from ollm.net.collateral.cache import Shelf as AnyShelf
from ollm.net.collateral.carried import Carried
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.collateral.shelf import read_regular
from ollm.net.fetch import HttpFetch
from ollm.values.checks import Appraisal
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import VerifiedStatement


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about a machine: under which policy, at what time (Unix seconds), and what it must have stated."""

    policy: AttestationPolicy
    now: int
    expected: Expected
    statements: tuple[VerifiedStatement, ...] = ()
    jwks: bytes | None = None  # keys of NVIDIA's attestation service, from a file: they are stored nowhere


class FileEndorser:
    """Collateral for the machine of a question."""

    def __init__(self, endorser: MachineEndorser, jwks: bytes | None) -> None:
        self._endorser = endorser
        self._jwks = jwks

    async def collateral(self, evidence: MachineEvidence, policy: AttestationPolicy) -> MachineCollateral:
        """For the CPU, and for the devices where `policy` demands any. Raises: UpstreamError, EvidenceRefused."""
        cpu = await self._endorser.for_cpu(evidence.cpu)
        devices: Sequence[DeviceEvidence] = evidence.devices if policy.nvidia is not None else ()
        return MachineCollateral(cpu=cpu, devices=tuple([await self._for_device(device) for device in devices]))

    async def _for_device(self, device: DeviceEvidence) -> DeviceCollateral:
        if isinstance(device, NrasEvidence) and self._jwks is not None:
            return NrasCollateral(jwks=self._jwks)
        return await self._endorser.for_device(device)


@contextlib.asynccontextmanager
async def file_endorser(sources: CollateralSettings, now: int, *, kept: Path | None, jwks: bytes | None) -> AsyncIterator[FileEndorser]:
    """Collateral as it was at `now`: only what `kept`, a directory or an archive, holds; from the network if that is None.

    Raises: ConfigError, StoreError.
    """
    clock, fetch = StandingClock(now), HttpFetch()
    cache = CollateralCache(clock, shelf=_shelf(kept, now), offline=kept is not None)
    try:
        yield FileEndorser(MachineEndorser(cache, Asker(fetch, clock), sources), jwks)
    finally:
        await cache.close()
        await fetch.close()


async def judge(evidence: MachineEvidence, endorser: FileEndorser, question: Question) -> Appraisal:
    """The appraisal of `evidence`; one whose collateral can't be had, or that can't be read, is refused."""
    policy = question.policy
    try:
        composition.check_technology(evidence, policy)  # nobody is asked about a machine that is not wanted
        collateral = await endorser.collateral(evidence, policy)
    except UpstreamError as problem:
        return unjudged(policy, EvidenceRefused("evidence.fetch", problem.reason, "collateral for every part that the policy judges"))
    except EvidenceRefused as refusal:
        return unjudged(policy, refusal)
    return appraise_machine(evidence, collateral, policy, question.now, expected=question.expected, statements=question.statements)


def _shelf(kept: Path | None, now: int) -> AnyShelf | None:
    if kept is None:
        return None
    if kept.is_dir():
        return Shelf(kept, read_only=True)
    try:
        return Carried(archive.unpack(read_regular(kept, archive.MAX_ARCHIVE), now))
    except OSError as problem:
        raise ConfigError(f"can't read {kept}: {problem.strerror}", "name a directory of collateral, or an archive that was exported") from None
