"""Judging evidence in files: with vendors' services, with an archive and nothing else, and without what is needed."""

import asyncio
import functools
from pathlib import Path

import msgspec
import pytest

from ollm.app.evidence import Question, file_endorser, judge
from ollm.attest.evidence import Expected, MachineEvidence, NitroEvidence, NrasEvidence, SnpEvidence, TdxEvidence
from ollm.config.settings import CollateralSettings
from ollm.errors import ConfigError, StoreError
from ollm.net.clock import StandingClock
from ollm.net.collateral import Asker, CollateralCache, Shelf, archive
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.fetch import HttpFetch
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import nras
from ollm.values.checks import Appraisal
from ollm.values.policy import AttestationPolicy, NvidiaPolicy
from tests.attest.service import failing
from tests.net.collateral.vendor import DAY, NOW, Answer, MovableClock, vendor

NONCE = bytes(range(32))


class Bench:
    """A TDX machine, the policy for it, and Intel's service for it."""

    def __init__(self) -> None:
        self.machine = SimulatedMachine(create_pki(NOW - 400 * DAY), MovableClock())
        self.policy = reference.policy([self.machine])
        quote = self.machine.quote(NONCE + NONCE)
        self.evidence = MachineEvidence(
            cpu=TdxEvidence(
                quote=quote, event_log=self.machine.event_log_json, app_compose=self.machine.app_compose, vm_config=self.machine.vm_config
            )
        )

    def __call__(self, target: str, body: bytes) -> Answer:
        path, _, query = target.partition("?")
        return self.machine.pcs_answer(path, dict(part.split("=") for part in query.split("&") if part))

    async def judged(
        self,
        sources: CollateralSettings,
        *,
        kept: Path | None = None,
        policy: AttestationPolicy | None = None,
        evidence: MachineEvidence | None = None,
        jwks: bytes | None = None,
        now: int = NOW,
    ) -> Appraisal:
        asked = Expected(report_data=NONCE, device_nonce=NONCE)
        question = Question(policy=policy or self.policy, now=now, expected=asked, jwks=jwks)
        async with file_endorser(sources, now, kept=kept, jwks=jwks) as endorser:
            return await judge(evidence or self.evidence, endorser, question)


@functools.cache
def bench() -> Bench:
    return Bench()


def sources(url: str) -> CollateralSettings:
    return CollateralSettings(pcs_url=url, root_crl_url=f"{url}/IntelSGXRootCA.der", kds_url=url, rim_url=url, ocsp_url=url, nras_url=url)


async def packed(settings: CollateralSettings) -> bytes:
    """What a gateway that judged the machine would export."""
    fetch, clock = HttpFetch(), StandingClock(NOW)
    cache = CollateralCache(clock)
    try:
        await MachineEndorser(cache, Asker(fetch, clock), settings).collateral(bench().evidence)
        return archive.pack(cache.held())
    finally:
        await cache.close()
        await fetch.close()


async def test_vendors_are_asked_when_nothing_else_is_named() -> None:
    async with vendor(bench()) as service:
        appraisal = await bench().judged(sources(service.url))

    assert appraisal.accepted, appraisal.failure


async def test_an_archive_is_enough_without_any_network(tmp_path: Path) -> None:
    async with vendor(bench()) as service:
        settings = sources(service.url)
        (tmp_path / "collateral.tar").write_bytes(await packed(settings))
    archive.bring(Shelf(tmp_path / "kept"), archive.unpack((tmp_path / "collateral.tar").read_bytes(), NOW), NOW)

    for kept in (tmp_path / "collateral.tar", tmp_path / "kept"):
        appraisal = await bench().judged(settings, kept=kept)
        assert appraisal.accepted, appraisal.failure
    later = await bench().judged(settings, kept=tmp_path / "kept", now=appraisal.valid_until)
    assert failing(later) == "evidence.fetch"  # what has ended is not given out


async def test_collateral_that_can_not_be_had_refuses(tmp_path: Path) -> None:
    nobody = sources("http://127.0.0.1:1")

    online = await bench().judged(nobody)
    assert failing(online) == "evidence.fetch"
    (tmp_path / "empty").mkdir()
    assert failing(await bench().judged(nobody, kept=tmp_path / "empty")) == "evidence.fetch"


async def test_what_is_no_archive_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")

    with pytest.raises(StoreError, match="no archive of collateral"):
        await bench().judged(CollateralSettings(), kept=tmp_path / "text")
    with pytest.raises(ConfigError, match="can't read"):
        await bench().judged(CollateralSettings(), kept=tmp_path / "nothing")


async def test_evidence_that_can_not_be_read_refuses() -> None:
    broken = MachineEvidence(cpu=TdxEvidence(quote=b"\x04"))

    assert failing(await bench().judged(CollateralSettings(), evidence=broken)) == "quote.format"


async def test_nobody_is_asked_about_a_machine_that_is_not_wanted() -> None:
    asked: list[str] = []

    def listen(target: str, body: bytes) -> Answer:
        asked.append(target)
        return 404, {}, b""

    async with vendor(listen) as service:
        for cpu in (SnpEvidence(report=bytes(1184)), NitroEvidence(document=b"\x84")):
            appraisal = await bench().judged(sources(service.url), evidence=MachineEvidence(cpu=cpu))
            assert failing(appraisal) == "machine.technology"
    assert asked == []


async def test_keys_of_nvidias_service_come_from_the_file_that_was_given() -> None:
    service = nras.create_service(NOW)
    table = NvidiaPolicy(simulated_root_sha256=service.root.sha256, simulated_rim_root_sha256="0" * 64, accept=("nras",))
    policy = msgspec.structs.replace(bench().policy, nvidia=table)
    evidence = msgspec.structs.replace(bench().evidence, devices=(NrasEvidence(token=service.bundle(NOW, NONCE)),))

    async with vendor(bench()) as intel:
        settings = sources(intel.url)
        given, not_given = await asyncio.gather(
            bench().judged(settings, policy=policy, evidence=evidence, jwks=service.jwks()),
            bench().judged(settings, policy=policy, evidence=evidence),
        )

    assert given.accepted, given.failure
    assert failing(not_given) == "evidence.fetch"
