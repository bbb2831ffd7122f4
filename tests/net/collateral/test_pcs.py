"""Intel's collateral as a verifier gets it: byte for byte, once for everybody, and never beyond its time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from ollm.attest.evidence import CollateralNeed
from ollm.errors import CollateralError, EvidenceRefused, UpstreamError
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.pcs import PcsCollateral, Update
from ollm.net.fetch import HttpFetch
from ollm.sim.collateral import Endorsement, SimulatedPcs
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from tests.net.collateral.vendor import DAY, HOUR, NOW, Answer, MovableClock, closing, vendor

NEED = CollateralNeed(fmspc="53494d000000", ca="platform")


class Service:
    """Intel's service for one simulated machine, over HTTP."""

    def __init__(self, endorsement: Endorsement) -> None:
        self.clock = MovableClock()
        self.machine = SimulatedMachine(create_pki(NOW - 400 * DAY), self.clock)
        self.machine.pcs = SimulatedPcs(self.machine.pki, self.clock, endorsement)
        self.asked: list[str] = []
        self.left_out = ""
        self.pcs: PcsCollateral

    def __call__(self, target: str, body: bytes) -> Answer:
        self.asked.append(target)
        path, _, query = target.partition("?")
        said = dict(part.split("=") for part in query.split("&") if part)
        status, headers, content = self.machine.pcs_answer(path, said)
        return status, {name: value for name, value in headers.items() if name != self.left_out}, content


@contextlib.asynccontextmanager
async def serving(endorsement: Endorsement | None = None, update: Update = "standard") -> AsyncIterator[Service]:
    service, fetch = Service(endorsement or Endorsement()), HttpFetch()
    async with closing(fetch), vendor(service) as running:
        cache = CollateralCache(service.clock)
        crl = running.url + "/IntelSGXRootCA.der"
        service.pcs = PcsCollateral(cache, Asker(fetch, service.clock), pcs_url=running.url + "/", root_crl_url=crl, update=update)
        yield service
        await cache.close()


async def test_what_is_signed_arrives_byte_for_byte() -> None:
    async with serving() as service:
        collateral = await service.pcs.get(NEED)
        genuine = service.machine.collateral()
        assert collateral.tcb_info == genuine.tcb_info
        assert collateral.qe_identity == genuine.qe_identity
        assert collateral.tcb_info_issuer_chain == genuine.tcb_info_issuer_chain
        assert collateral.pck_crl_issuer_chain.count("BEGIN CERTIFICATE") == 2


async def test_many_at_once_are_one_fetch_of_each() -> None:
    async with serving() as service:
        results = await asyncio.gather(*(service.pcs.get(NEED) for _ in range(100)))
        assert len(service.asked) == 4
        assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("endorsement", "kept"),
    [
        pytest.param(Endorsement(), HOUR, id="an hour, however long it would hold"),
        pytest.param(Endorsement(age=0, lifetime=600), 600, id="until its documents have successors"),
        pytest.param(Endorsement(age=0, lifetime=30 * DAY, crl_age=0, crl_lifetime=900), 900, id="until its revocation lists have successors"),
    ],
)
async def test_it_is_used_no_longer_than_it_holds(endorsement: Endorsement, kept: int) -> None:
    async with serving(endorsement) as service:
        await service.pcs.get(NEED)
        service.clock.seconds = NOW + kept
        await service.pcs.get(NEED)
        assert len(service.asked) > 4


@pytest.mark.parametrize("endorsement", [Endorsement(age=2 * DAY, lifetime=DAY), Endorsement(crl_age=2 * DAY, crl_lifetime=DAY)])
async def test_what_has_ended_is_refused_by_the_check_that_appraisal_would_name(endorsement: Endorsement) -> None:
    async with serving(endorsement) as service:
        with pytest.raises(EvidenceRefused) as refused:
            await service.pcs.get(NEED)
        assert refused.value.check == "collateral.validity"
        assert "its time was over 86400 s ago" in refused.value.got


async def test_what_has_no_end_is_no_collateral() -> None:
    async with serving(Endorsement(left_out=("nextUpdate",))) as service:
        with pytest.raises(UpstreamError, match="no usable Intel TCB info"):
            await service.pcs.get(NEED)


async def test_another_platform_has_tcb_info_of_its_own_and_shares_the_rest() -> None:
    async with serving() as service:
        await service.pcs.get(NEED)
        with pytest.raises(UpstreamError) as unknown:
            await service.pcs.get(CollateralNeed(fmspc="00906ed50000", ca="platform"))
        assert unknown.value.status == 404
        assert len(service.asked) == 5
        await service.pcs.get(CollateralNeed(fmspc="53494D000000", ca="processor"))
        assert len(service.asked) == 6


async def test_a_service_that_fails_for_a_while_costs_nothing() -> None:
    async with serving() as service:
        first = await service.pcs.get(NEED)
        service.machine.pcs.endorsement = Endorsement(silent=True)
        service.clock.seconds += DAY
        assert await service.pcs.get(NEED) == first
        service.machine.pcs.endorsement = Endorsement()
        service.clock.seconds += 60
        assert await service.pcs.get(NEED) != first


async def test_an_older_tcb_evaluation_replaces_nothing() -> None:
    async with serving() as service:
        first = await service.pcs.get(NEED)
        service.machine.pcs.endorsement = Endorsement(evaluation_number=19)
        service.clock.seconds += HOUR
        assert (await service.pcs.get(NEED)).tcb_info == first.tcb_info


async def test_updates_can_be_asked_for_early() -> None:
    async with serving(update="early") as service:
        await service.pcs.get(NEED)
        assert {target.partition("certification/v4/")[2] for target in service.asked} >= {
            "tcb?fmspc=53494D000000&update=early",
            "qe/identity?update=early",
            "pckcrl?ca=platform&encoding=der",
        }


@pytest.mark.parametrize(
    "need",
    [
        CollateralNeed("../x?y=", "platform"),
        CollateralNeed("53494d00000", "platform"),
        CollateralNeed("53494d000000", "root"),
        CollateralNeed("", ""),
    ],
)
async def test_what_the_evidence_names_does_not_become_another_url(need: CollateralNeed) -> None:
    async with serving() as service:
        with pytest.raises(UpstreamError):
            await service.pcs.get(need)
        assert service.asked == []


@pytest.mark.parametrize("header", ["TCB-Info-Issuer-Chain", "SGX-Enclave-Identity-Issuer-Chain", "SGX-PCK-CRL-Issuer-Chain"])
async def test_an_answer_without_its_issuers_is_refused(header: str) -> None:
    async with serving() as service:
        service.left_out = header
        with pytest.raises(CollateralError, match=header.lower()):
            await service.pcs.get(NEED)
