"""Collateral of devices: two files and an answer for each certificate; what can't be had is for the policy to miss."""

import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from cryptography.x509 import ocsp

from ollm.attest.evidence import NvidiaEvidence
from ollm.attest.nvidia.appraise import collateral_need
from ollm.errors import EvidenceRefused
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.nvidia import DeviceCollateralSource
from ollm.net.fetch import HttpFetch
from ollm.testing.mint.nvidia import Device
from tests.attest.nvidia.devices import NONCE, device, judge, refusal
from tests.net.collateral.vendor import NOW, Answer, MovableClock, Vendor, closing, ok, vendor


class Nvidia:
    """NVIDIA's services for one device. What is in `silent` is not answered."""

    def __init__(self, of: Device) -> None:
        need = collateral_need(of.evidence(NONCE))
        self.files = {need.vbios_rim_id: of.bios_rim()}
        if need.driver_rim_id is not None:
            self.files[need.driver_rim_id] = of.driver_rim()
        self.answers = {ocsp.load_der_ocsp_response(answer).serial_number: answer for answer in of.answers(NOW)}
        self.silent: set[str] = set()
        self.clock = MovableClock()
        self.service: Vendor
        self.source: DeviceCollateralSource

    def __call__(self, target: str, body: bytes) -> Answer:
        rim_id = target.rpartition("/")[2]
        if target in self.silent or rim_id in self.silent:
            return 503, {}, b""
        if target == "/":
            return ok(self.answers[ocsp.load_der_ocsp_request(body).serial_number])
        rim = self.files[rim_id]
        said = {"id": rim_id, "rim": base64.b64encode(rim).decode(), "sha256": hashlib.sha256(rim).hexdigest(), "rim_format": "TCG"}
        return ok(json.dumps(said).encode())


@contextlib.asynccontextmanager
async def nvidia(chip: str = "GH100") -> AsyncIterator[Nvidia]:
    of, fetch = Nvidia(device(chip)), HttpFetch()
    async with closing(fetch), vendor(of) as of.service:
        cache = CollateralCache(of.clock)
        of.source = DeviceCollateralSource(cache, Asker(fetch, of.clock), rim_url=of.service.url, ocsp_url=of.service.url)
        yield of
        await cache.close()


@pytest.mark.parametrize("chip", ["GH100", "GB100", "LS_10"])
async def test_what_is_fetched_is_all_that_appraisal_wants(chip: str) -> None:
    async with nvidia(chip) as of:
        evidence = device(chip).evidence(NONCE)
        collateral = await of.source.get(evidence)
        policy = device("GH100").hierarchy.policy(min_switches=1, architectures=("Hopper", "Blackwell", "LS10"))
        assert judge(evidence, collateral, policy).nonce == NONCE
        assert sorted(collateral.ocsp) == sorted(of.answers.values())


async def test_several_devices_share_what_they_have_in_common() -> None:
    async with nvidia() as of:
        await of.source.get(device("GH100").evidence(NONCE))
        asked = len(of.service.asked)
        await of.source.get(device("GH100").evidence(bytes(32)))
        assert len(of.service.asked) == asked


async def test_a_revocation_answer_that_can_not_be_had_is_for_the_policy_to_miss() -> None:
    async with nvidia() as of:
        of.silent.add("/")
        evidence = device("GH100").evidence(NONCE)
        collateral = await of.source.get(evidence)
        assert collateral.ocsp == ()
        assert judge(evidence, collateral, device("GH100").hierarchy.policy(require_ocsp=False)).kind == "gpu"
        assert refusal(evidence, collateral).check == "ocsp.present"


async def test_a_file_that_can_not_be_had_is_refused_by_appraisal() -> None:
    async with nvidia() as of:
        evidence = device("GH100").evidence(NONCE)
        of.silent.add(str(collateral_need(evidence).driver_rim_id))
        collateral = await of.source.get(evidence)
        assert collateral.driver_rim is None
        assert collateral.vbios_rim is not None
        assert refusal(evidence, collateral).check.startswith("rim.")


async def test_evidence_that_can_not_be_read_asks_nobody() -> None:
    async with nvidia() as of:
        with pytest.raises(EvidenceRefused):
            await of.source.get(NvidiaEvidence(report=b"", certificate_chain=""))
        with pytest.raises(EvidenceRefused):
            await of.source.get(msgspec.structs.replace(device("GH100").evidence(NONCE), report=b"garbage"))
        assert of.service.asked == []
