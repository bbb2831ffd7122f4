"""A simulated enclave from start to end, genuine or broken in every way that the table names."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest

from ollm.attest.appraise import appraise
from ollm.attest.evidence import AciEvidence
from ollm.errors import ConfigError
from ollm.net.clock import SystemClock
from ollm.net.dstack import DstackAgent
from ollm.sim.breaks import BREAKS, Break
from ollm.sim.identity import create_tls, spki_sha256
from ollm.sim.responder import Pace
from ollm.sim.service import SimEnclave, SimOptions, run
from ollm.values.hexes import Hex32
from tests.sim.enclave_client import CHAT, chat, events, running, unverified_tls


@pytest.mark.parametrize("entry", BREAKS.values(), ids=BREAKS.keys())
async def test_every_defect_is_refused_by_the_check_that_the_table_names(entry: Break) -> None:
    async with running(broken=entry.kind) as client:
        assert await client.refused_by() in entry.checks
        assert client.enclave.counters.prompt_bytes == 0


async def test_a_replayed_quote_is_the_same_for_everybody() -> None:
    async with running(broken="replayed-quote") as client:
        reports = [await client.http.get("/v1/aci/attestation?nonce=" + nonce * 32) for nonce in ("ab", "cd")]
        quotes = [report.json()["attestation"]["evidence"]["quote"] for report in reports]
        assert quotes[0] == quotes[1]


async def test_the_root_outlives_a_restart_where_it_has_a_place(tmp_path: Path) -> None:
    state = tmp_path / "hardware"
    async with running(state_dir=state) as first:
        policy = first.enclave.policy
        keys = first.enclave.identity.spki_sha256
    async with running(state_dir=state) as second:
        assert second.enclave.policy == policy
        assert second.enclave.identity.spki_sha256 != keys
        assert await second.refused_by() is None


async def test_two_installations_refuse_each_other() -> None:
    async with running() as one, running() as other:
        evidence = await one.evidence()
        appraisal, _ = appraise(evidence, one.enclave.machine.collateral(), other.enclave.policy, one.enclave.clock.now(), require_hpke=True)
        assert appraisal.failure is not None
        assert appraisal.failure.name == "chain.root"


async def test_attesting_for_another_tls_server(tmp_path: Path) -> None:
    clock = SystemClock()
    certificate, tls = create_tls(clock.now())
    key_file, certificate_file = tmp_path / "key.pem", tmp_path / "cert.pem"
    key_file.write_bytes(tls.key.expose())
    certificate_file.write_bytes(tls.certificate)
    options = SimOptions(attest_only=True, tls_key=key_file, tls_cert=certificate_file)
    async with SimEnclave(options, clock=clock) as enclave, httpx2.AsyncClient(base_url=enclave.url) as http:
        assert enclave.url.startswith("http://127.0.0.1:")
        nonce = Hex32("ab" * 32)
        report = (await http.get(f"/v1/aci/attestation?nonce={nonce}")).content
        evidence = AciEvidence(report=report, nonce=nonce, peer_spki_sha256=spki_sha256(certificate), hpke_key_config=None)
        appraisal, binding = appraise(evidence, enclave.machine.collateral(), enclave.policy, clock.now(), require_hpke=False)
        assert appraisal.accepted, appraisal.failure
        assert binding is not None
        for method, path in [("GET", "/.well-known/hpke-keys"), ("GET", "/v1/models"), ("POST", CHAT)]:
            assert (await http.request(method, path)).status_code == 404


async def test_another_workload_can_quote_with_the_same_machine(socket_dir: Path) -> None:
    path = socket_dir / "agent.sock"
    async with running(agent_socket=path) as client:
        agent = DstackAgent(path)
        quote = await agent.quote(bytes(64))
        await agent.close()
        assert quote.app_compose == client.enclave.machine.app_compose
    assert not path.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"broken": "no-such-thing"},
        {"attest_only": True},
        {"attest_only": True, "tls_key": Path("key.pem")},
        {"tls_key": Path("key.pem"), "tls_cert": Path("cert.pem")},
        {"attest_only": True, "tls_key": Path("key.pem"), "tls_cert": Path("cert.pem"), "upstream": "http://127.0.0.1:1/v1"},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SimOptions(**options)  # type: ignore[arg-type]  # what a command line could say


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(socket_dir: Path) -> None:
    async with running() as client:
        port = int(client.enclave.url.rpartition(":")[2])
        second = SimEnclave(SimOptions(port=port, agent_socket=socket_dir / "agent.sock"))
        with pytest.raises(ConfigError):
            await second.start()
        assert not (socket_dir / "agent.sock").exists()


async def test_sigterm_lets_running_answers_end() -> None:
    announced: asyncio.Future[SimEnclave] = asyncio.get_running_loop().create_future()
    options = SimOptions(allow_plaintext=True, pace=Pace(event=0.01))
    service = asyncio.create_task(run(options, announced.set_result, drain=10))
    enclave = await announced
    async with (
        httpx2.AsyncClient(verify=unverified_tls(), base_url=enclave.url) as http,
        http.stream("POST", CHAT, content=chat(stream=True)) as response,
    ):
        parts = response.aiter_raw()
        body = await anext(parts)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        with pytest.raises(httpx2.ConnectError):
            await httpx2.AsyncClient(verify=unverified_tls()).get(enclave.url + "/healthz")
        body += b"".join([part async for part in parts])
    assert len(events(body)) > 10
    await asyncio.wait_for(service, 5)
