"""The listener beside the enclave: collateral, counters and the policy, nothing else."""

import tomllib

import httpx2

from tests.sim.enclave_client import CHAT, chat, running


async def test_collateral_comes_under_the_paths_of_intels_service() -> None:
    async with running() as client, httpx2.AsyncClient(base_url=client.enclave.pcs_url) as pcs:
        tcb = await pcs.get("/tdx/certification/v4/tcb?fmspc=53494d000000")
        assert tcb.status_code == 200
        assert tcb.json()["tcbInfo"]["id"] == "TDX"
        assert "BEGIN%20CERTIFICATE" in tcb.headers["tcb-info-issuer-chain"]
        crl = await pcs.get("/IntelSGXRootCA.der")
        assert crl.headers["content-type"] == "application/pkix-crl"
        assert (await pcs.get("/nowhere")).status_code == 404
        assert (await pcs.post("/IntelSGXRootCA.der")).status_code == 405
        assert (await pcs.get("/tdx/certification/v4/tcb?fmspc=1&fmspc=2")).status_code == 400


async def test_counters_tell_every_byte_of_every_prompt() -> None:
    async with running() as client, httpx2.AsyncClient(base_url=client.enclave.pcs_url) as pcs:
        assert (await pcs.get("/sim/counters")).json() == {"prompt_bytes": 0, "prompt_requests": 0, "reports": 0}
        await client.evidence()
        await client.http.post(CHAT, content=chat())  # refused, as it isn't sealed; and counted
        await client.http.post("/nowhere", content=b"1234")
        expected = {"prompt_bytes": len(chat()) + 4, "prompt_requests": 2, "reports": 1}
        assert (await pcs.get("/sim/counters")).json() == expected


async def test_the_policy_is_served_as_a_fragment_of_the_configuration() -> None:
    async with running() as client, httpx2.AsyncClient(base_url=client.enclave.pcs_url) as pcs:
        policies = tomllib.loads((await pcs.get("/sim/policy.toml")).text)["policies"]
        assert policies["simulated"]["tdx"]["simulated_root_sha256"] == client.enclave.pki.root_sha256
