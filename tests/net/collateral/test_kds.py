"""AMD's collateral: the URLs that its specification names, few questions, and a VCEK that the attester sent is not asked for."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from ollm.attest.certificates import load_certificate
from ollm.attest.sevsnp.need import SnpNeed, collateral_need
from ollm.errors import CollateralError, EvidenceRefused, UpstreamError
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.kds import KdsCollateral
from ollm.net.fetch import HttpFetch
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki
from ollm.values.policy import SnpTcb
from tests.net.collateral.vendor import DAY, NOW, Answer, MovableClock, Vendor, closing, ok, vendor

PKI = {product: create_pki(product, NOW) for product in ("Milan", "Genoa", "Turin")}
TCB = SnpTcb(bootloader=3, tee=0, snp=8, microcode=115, fmc=1)


class Kds:
    """AMD's service for one machine, with the collateral that it has of it."""

    def __init__(self, machine: SnpMachine) -> None:
        self.machine = machine
        self.leaf = machine.leaf()
        self.clock = MovableClock()
        self.cache = CollateralCache(self.clock)
        self.service: Vendor
        self.kds: KdsCollateral

    def __call__(self, target: str, body: bytes) -> Answer:
        product = self.machine.pki.product
        if target.endswith(f"/{product}/cert_chain"):
            return ok(self.machine.chain.encode())
        if target.endswith(f"/{product}/crl"):
            return ok(self.machine.crl())
        return ok(self.leaf) if f"/vcek/v1/{product}/" in target else (404, {}, b"")

    def fails(self, path: str, answer: Callable[[], Answer]) -> None:
        self.service.script = lambda target, body: answer() if path in target else self(target, body)


@contextlib.asynccontextmanager
async def kds(product: str = "Genoa", *, vlek: bool = False) -> AsyncIterator[Kds]:
    of = Kds(SnpMachine(PKI[product], NOW, tcb=TCB, vlek=vlek))
    fetch = HttpFetch()
    async with closing(fetch), vendor(of) as of.service:
        of.kds = KdsCollateral(of.cache, Asker(fetch, of.clock), kds_url=of.service.url + "/")
        yield of
        await of.cache.close()


CHIP = bytes(range(1, 65)).hex()


@pytest.mark.parametrize(
    ("product", "path"),
    [
        ("Milan", f"/vcek/v1/Milan/{CHIP}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115"),
        ("Genoa", f"/vcek/v1/Genoa/{CHIP}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115"),
        ("Turin", f"/vcek/v1/Turin/{CHIP[:16]}?fmcSPL=01&blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115"),
    ],
)
async def test_the_urls_are_those_of_amds_specification(product: str, path: str) -> None:
    async with kds(product) as of:
        collateral = await of.kds.get(collateral_need(of.machine.report()))
        assert of.service.targets == [path, f"/vcek/v1/{product}/cert_chain", f"/vcek/v1/{product}/crl"]
        assert collateral.leaf == of.leaf
        assert collateral.chain == of.machine.chain
        assert collateral.crl is not None


async def test_a_vcek_is_kept_and_the_revocation_list_is_not() -> None:
    async with kds() as of:
        need = collateral_need(of.machine.report())
        await of.kds.get(need)
        of.clock.seconds += 20 * DAY
        await of.kds.get(need)
        assert [target.partition("?")[0].rpartition("/")[2] for target in of.service.targets] == [CHIP, "cert_chain", "crl", "cert_chain", "crl"]


async def test_what_the_attester_sent_is_not_asked_for() -> None:
    async with kds() as of:
        collateral = await of.kds.get(collateral_need(of.machine.report()), sent=of.leaf)
        assert of.service.targets == ["/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"]
        assert collateral.leaf == of.leaf


async def test_what_the_attester_sent_has_to_be_a_certificate() -> None:
    async with kds() as of:
        with pytest.raises(EvidenceRefused) as refused:
            await of.kds.get(collateral_need(of.machine.report()), sent=b"garbage")
        assert refused.value.check == "snp.certificate"


async def test_a_vlek_comes_with_the_evidence_or_not_at_all() -> None:
    async with kds(vlek=True) as of:
        need = collateral_need(of.machine.report())
        with pytest.raises(UpstreamError, match="VLEK"):
            await of.kds.get(need)
        collateral = await of.kds.get(need, sent=of.leaf)
        assert of.service.targets == ["/vlek/v1/Genoa/cert_chain", "/vlek/v1/Genoa/crl"]
        assert collateral.leaf == of.leaf


async def test_a_report_without_its_product_is_looked_for_under_each() -> None:
    async with kds() as of:
        need = SnpNeed(None, ("Milan", "Genoa"), CHIP, of.machine.tcb, "vcek")
        assert (await of.kds.get(need)).leaf == of.leaf
        assert [target.split("/")[3] for target in of.service.targets] == ["Milan", "Genoa", "Genoa", "Genoa"]
        await of.kds.get(need)
        assert len(of.service.targets) == 4, "that it is no Milan is remembered for a while"


async def test_while_amd_wants_to_be_left_alone_no_other_product_is_tried() -> None:
    async with kds() as of:
        of.fails("/vcek/v1/Milan/", lambda: (429, {"retry-after": "7"}, b""))
        need = SnpNeed(None, ("Milan", "Genoa"), CHIP, of.machine.tcb, "vcek")
        with pytest.raises(CollateralError) as refused:
            await of.kds.get(need)
        assert (refused.value.status, len(of.service.asked)) == (429, 1)
        of.clock.seconds += 9
        with pytest.raises(CollateralError):
            await of.kds.get(need)
        assert len(of.service.asked) == 1, "ten seconds, though it said seven"


async def test_a_hidden_chip_can_not_be_asked_about() -> None:
    async with kds() as of:
        with pytest.raises(UpstreamError, match="hides which chip"):
            await of.kds.get(collateral_need(of.machine.report(chip_id=bytes(64))))
        assert of.service.asked == []


async def test_a_revocation_list_that_can_not_be_had_is_for_the_policy_to_miss() -> None:
    async with kds() as of:
        of.fails("/crl", lambda: (500, {}, b""))
        assert (await of.kds.get(collateral_need(of.machine.report()))).crl is None


async def test_without_the_chain_there_is_no_collateral() -> None:
    async with kds() as of:
        of.fails("/cert_chain", lambda: ok(b"no PEM"))
        with pytest.raises(UpstreamError, match="no usable AMD certificate chain"):
            await of.kds.get(collateral_need(of.machine.report()))


async def test_an_answer_that_is_no_certificate_is_refused() -> None:
    async with kds() as of:
        of.fails(CHIP, lambda: ok(b"<html>"))
        with pytest.raises(UpstreamError, match="no usable AMD VCEK"):
            await of.kds.get(collateral_need(of.machine.report()))


def test_the_vcek_that_is_minted_is_a_certificate() -> None:
    assert load_certificate(SnpMachine(PKI["Milan"], NOW).leaf(), "snp.certificate").serial_number == 0
