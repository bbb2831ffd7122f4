"""A verified machine for an admitted request, or a refusal before anything is sent."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from ollm.config.settings import Timeouts
from ollm.gateway.admit import Ticket
from ollm.gateway.attested import TrustRefusal, attested
from ollm.sim.service import SimEnclave, SimOptions
from ollm.traffic.routes import Demand
from ollm.upstream.keeper import Keeper
from ollm.upstream.session import VerifiedSession
from ollm.values.ledger import Status
from ollm.values.level import Level
from tests.scripted_enclave import answer, scripted_enclave
from tests.stage import Stage, configuration, error_of, opened


async def test_named_sessions_are_accepted_while_they_hold(stage: Stage) -> None:
    session = await stage.gateway.keepers["enclave"].session(5)
    response = await stage.chat(provider={"aci_session_ids": ["ab" * 32, session.session_id]})
    assert response.status_code == 200
    assert (await stage.entry(response)).session_id == session.session_id


async def test_no_session_but_the_named_ones_serves(stage: Stage) -> None:
    await stage.gateway.keepers["enclave"].session(5)
    response = await stage.chat(provider={"aci_session_ids": ["ab" * 32]})
    assert response.status_code == 412
    assert error_of(response)["type"] == "session_not_accepted"
    assert response.headers["x-should-retry"] == "false"
    assert stage.enclave.counters.prompt_bytes == 0
    entry = await stage.entry(response)
    assert (entry.status, entry.http_status, entry.session_id) == (Status.REFUSED, 412, None)
    log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
    assert (log["upstream.verified"]["result"], log["upstream.verified"]["reason"]) == ("failed", "session_not_accepted")


async def test_among_several_upstreams_the_one_with_the_named_session_serves(socket_dir: Path) -> None:
    async with (
        SimEnclave(SimOptions()) as one,
        SimEnclave(SimOptions()) as other,
        opened(socket_dir, configuration({"one": one, "other": other})) as stage,
    ):
        session = await stage.gateway.keepers["other"].session(5)
        response = await stage.chat(provider={"aci_session_ids": [session.session_id]})
        assert response.status_code == 200
        assert (await stage.entry(response)).upstream == "other"
        assert one.counters.prompt_bytes == 0


async def test_the_demand_is_consumed_and_the_rest_of_provider_passes_on(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b'{"choices":[]}')) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        session = await stage.gateway.keepers["enclave"].session(5)
        await stage.chat(provider={"aci_session_ids": [session.session_id], "data_collection": "deny"})
        await stage.chat(provider={"aci_verified": False})
        assert b'"provider":{"data_collection":"deny"}' in enclave.asked[0].body
        assert b"provider" not in enclave.asked[1].body


async def test_a_request_waits_for_a_running_verification_and_no_longer_than_allowed(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b'{"choices":[]}')) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, configuration({"enclave": enclave}, gateway={"timeouts": {"verify": 0.4}})) as stage:
            response = await stage.chat()
            assert response.status_code == 503
            assert "(evidence.fetch: " in error_of(response)["message"]
            entry = await stage.entry(response)
            assert entry.status is Status.REFUSED
            assert entry.verify_us > 100_000
            assert enclave.asked == []


async def test_requests_that_wait_are_served_once_the_machine_is_verified(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b'{"choices":[]}')) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, configuration({"enclave": enclave})) as stage:
            waiting = [asyncio.create_task(stage.chat()) for _ in range(20)]
            await asyncio.sleep(0.2)
            assert enclave.asked == []
            enclave.hold_reports.set()
            assert [(await each).status_code for each in waiting] == [200] * 20
            assert enclave.reports == 1


async def test_a_verification_without_a_verdict_in_time_is_a_refusal(stage: Stage) -> None:
    async def endless() -> VerifiedSession:
        await asyncio.Event().wait()
        raise AssertionError

    keeper = Keeper("enclave", endless, stage.gateway.clock, stage.gateway.sessions)
    settings = msgspec.structs.replace(stage.gateway.settings.gateway, timeouts=Timeouts(verify=0.05))
    gateway = msgspec.structs.replace(
        stage.gateway, keepers={"enclave": keeper}, settings=msgspec.structs.replace(stage.gateway.settings, gateway=settings)
    )
    ticket = Ticket("demo", gateway.settings.models["demo"], Demand(Level.SIMULATED), ("enclave",), {"enclave": "chat.completions"})
    with pytest.raises(TrustRefusal) as refused:
        await attested(gateway, ticket, "enclave")
    assert (refused.value.upstream, refused.value.error.status, refused.value.error.code) == ("enclave", 503, "upstream_verification_failed")
    assert refused.value.reason == "evidence.fetch: got no verdict in time, want a verified session"
    assert dict(refused.value.error.headers) == {"x-should-retry": "false"}
    await keeper.close()
