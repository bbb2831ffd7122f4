"""Collateral as a verifier gets it: byte for byte, once for everybody, and never beyond its time."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from ollm.attest.evidence import CollateralNeed
from ollm.errors import UpstreamError
from ollm.net.collateral import PcsCollateral, next_update, signed_member
from ollm.net.fetch import HttpFetch
from ollm.ports import Fetch, Fetched
from ollm.serving.http import Receive, Scope, Send
from ollm.serving.server import Server
from ollm.sim.collateral import Endorsement, SimulatedPcs
from ollm.sim.control import Control
from ollm.sim.enclave import Counters
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from tests.sim.hardware import NOW, FrozenClock

HOUR, DAY = 3600, 86_400
NEED = CollateralNeed(fmspc="53494d000000", ca="platform")


class Service:
    """The collateral service over HTTP; `asked` lists the paths of its requests."""

    def __init__(self, endorsement: Endorsement) -> None:
        self.clock = FrozenClock()
        self.machine = SimulatedMachine(create_pki(NOW - 400 * DAY), self.clock)
        self.machine.pcs = SimulatedPcs(self.machine.pki, self.clock, endorsement)
        self.asked: list[str] = []
        self._control = Control(self.machine, Counters(), "")
        self.cache: PcsCollateral

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await self._control(scope, receive, send)


@contextlib.asynccontextmanager
async def serving(endorsement: Endorsement | None = None) -> AsyncIterator[Service]:
    service = Service(endorsement or Endorsement())
    server = Server(service, host="127.0.0.1", port=0)
    await server.start()
    fetch = HttpFetch()
    url = f"http://127.0.0.1:{server.port}"
    service.cache = PcsCollateral(fetch, service.clock, pcs_url=url + "/", root_crl_url=url + "/IntelSGXRootCA.der")
    try:
        yield service
    finally:
        await fetch.close()
        await server.drain(0)


async def test_what_is_signed_arrives_byte_for_byte() -> None:
    async with serving() as service:
        collateral = await service.cache.get(NEED)
        genuine = service.machine.collateral()
        assert collateral.tcb_info == genuine.tcb_info
        assert collateral.qe_identity == genuine.qe_identity
        assert collateral.tcb_info_issuer_chain == genuine.tcb_info_issuer_chain
        assert collateral.pck_crl_issuer_chain.count("BEGIN CERTIFICATE") == 2


async def test_many_at_once_are_one_fetch() -> None:
    async with serving() as service:
        results = await asyncio.gather(*(service.cache.get(NEED) for _ in range(50)))
        assert len(service.asked) == 4
        assert all(result is results[0] for result in results)


@pytest.mark.parametrize(
    ("endorsement", "kept"),
    [
        pytest.param(Endorsement(), HOUR, id="an hour, however long it would hold"),
        pytest.param(Endorsement(age=0, lifetime=600), 600, id="until its documents have successors"),
        pytest.param(Endorsement(age=0, lifetime=30 * DAY, crl_age=0, crl_lifetime=900), 900, id="until its revocation lists have successors"),
    ],
)
async def test_it_is_kept_no_longer_than_it_holds(endorsement: Endorsement, kept: int) -> None:
    async with serving(endorsement) as service:
        await service.cache.get(NEED)
        service.clock.seconds = NOW + kept - 1
        await service.cache.get(NEED)
        assert len(service.asked) == 4
        service.clock.seconds = NOW + kept
        await service.cache.get(NEED)
        assert len(service.asked) == 8


@pytest.mark.parametrize(
    "endorsement", [Endorsement(age=2 * DAY, lifetime=DAY), Endorsement(left_out=("nextUpdate",))], ids=["expired", "without an end"]
)
async def test_what_has_no_time_left_is_asked_for_each_time(endorsement: Endorsement) -> None:
    async with serving(endorsement) as service:
        for _ in range(2):
            await service.cache.get(NEED)
        assert len(service.asked) == 8


async def test_a_revocation_list_that_can_not_be_read_is_not_kept() -> None:
    async with serving() as service:
        service.cache._fetch = Garbled(service.cache._fetch, "/IntelSGXRootCA.der")
        for _ in range(2):
            assert (await service.cache.get(NEED)).root_ca_crl == b"garbage"
        assert service.asked.count("/tdx/certification/v4/tcb") == 2


async def test_another_platform_has_collateral_of_its_own() -> None:
    async with serving() as service:
        await service.cache.get(NEED)
        with pytest.raises(UpstreamError) as unknown:
            await service.cache.get(CollateralNeed(fmspc="00906ed50000", ca="platform"))
        assert unknown.value.status == 404
        await service.cache.get(NEED)
        assert service.asked.count("/sgx/certification/v4/pckcrl") == 2


async def test_a_failure_is_not_kept() -> None:
    async with serving(Endorsement(silent=True)) as service:
        with pytest.raises(UpstreamError):
            await service.cache.get(NEED)
        service.machine.pcs.endorsement = Endorsement()
        assert (await service.cache.get(NEED)).tcb_info


@pytest.mark.parametrize("need", [CollateralNeed("../x?y=", "platform"), CollateralNeed("53494d000000", "root"), CollateralNeed("", "platform")])
async def test_what_the_evidence_names_does_not_become_another_url(need: CollateralNeed) -> None:
    async with serving() as service:
        with pytest.raises(UpstreamError):
            await service.cache.get(need)
        assert service.asked == []


SIGNATURE = "ab" * 64


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f'{{"tcbInfo":{{"a":1}},"signature":"{SIGNATURE}"}}', '{"a":1}'),
        (f'{{"signature":"{SIGNATURE}", "tcbInfo" : {{ "b" : "}}\\"{{" , "a" :1.0}} }}', '{ "b" : "}\\"{" , "a" :1.0}'),
        (f'\n{{"tcbInfo":\n{{"é":"\\u00e9"}}\n,"signature":"{SIGNATURE.upper()}"}}', '{"é":"\\u00e9"}'),
    ],
)
def test_the_signed_member_is_cut_out_as_it_stands(body: str, text: str) -> None:
    assert signed_member(body.encode(), "tcbInfo") == (text, b"\xab" * 64)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"tcbInfo":{}}',
        b'{"signature":"ab"}',
        b'{"tcbInfo":{},"signature":"ab"}',
        b'{"tcbInfo":{},"signature":5}',
        b'{"tcbInfo":{},"signature":"zz"}',
        b'{"tcbInfo":"{","signature":"' + SIGNATURE.encode() + b'"}',
        b'{"tcbInfo":' + b"[" * 100_000,
        b'{"tcbInfo":{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_no_signed_answer_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        signed_member(body, "tcbInfo")


@pytest.mark.parametrize(
    ("document", "seconds"),
    [
        ('{"nextUpdate":"2027-01-15T08:00:00Z"}', float(NOW)),
        ('{"nextUpdate":"soon"}', 0.0),
        ('{"nextUpdate":5}', 0.0),
        ("{}", 0.0),
        ("[]", 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_the_end_of_a_document(document: str, seconds: float) -> None:
    assert next_update(document) == seconds


class Garbled:
    """`ports.Fetch` whose answer at one path is garbage."""

    def __init__(self, inner: Fetch, path: str) -> None:
        self._inner = inner
        self._path = path

    async def get(self, url: str) -> Fetched:
        answer = await self._inner.get(url)
        return Fetched(answer.status, answer.headers, b"garbage") if url.endswith(self._path) else answer


class Altered:
    """`ports.Fetch` of one answer with a header left out."""

    def __init__(self, inner: Fetch, header: str) -> None:
        self._inner = inner
        self._header = header

    async def get(self, url: str) -> Fetched:
        answer = await self._inner.get(url)
        return Fetched(answer.status, {name: value for name, value in answer.headers.items() if name != self._header}, answer.body)


@pytest.mark.parametrize("header", ["tcb-info-issuer-chain", "sgx-enclave-identity-issuer-chain", "sgx-pck-crl-issuer-chain"])
async def test_an_answer_without_its_issuers_is_refused(header: str) -> None:
    async with serving() as service:
        service.cache._fetch = Altered(service.cache._fetch, header)
        with pytest.raises(UpstreamError, match=header):
            await service.cache.get(NEED)
        assert json.loads(service.machine.pcs.tcb_info()[0])
