"""Ends of a request that are no answers, and the record that each leaves."""

import asyncio
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.values.ledger import Entry, Status
from tests.scripted_enclave import Script, answer, scripted_enclave, silent, stalling
from tests.stage import Stage, asking, chat_body, configuration, error_of, eventually, last_entry, opened, staged

PIECE = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'


JSON, STREAM = "application/json", "text/event-stream"


@pytest.mark.parametrize(
    ("streamed", "script", "pieces"),
    [
        pytest.param(False, silent, 0, id="whole, waiting for headers"),
        pytest.param(False, stalling(kind=JSON), 0, id="whole, waiting for the first byte"),
        pytest.param(False, stalling(b'{"id":', kind=JSON), 0, id="whole, in the middle"),
        pytest.param(True, silent, 0, id="stream, waiting for headers"),
        pytest.param(True, stalling(kind=STREAM), 0, id="stream, before the first token"),
        pytest.param(True, stalling(PIECE, PIECE, kind=STREAM), 2, id="stream, in the middle"),
    ],
)
async def test_a_client_that_leaves_cancels_the_provider_within_a_second(streamed: bool, script: Script, pieces: int, socket_dir: Path) -> None:
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        body = chat_body(stream=streamed)
        async with asking(stage, body) as client:
            await asyncio.wait_for(enclave.arrived.wait(), 5)
            if pieces and streamed:
                await client.read_until(b'"one"')
            await asyncio.sleep(0.05)
            assert stage.under_way == 1
            client.leave()
        await asyncio.wait_for(enclave.gone.wait(), 1)

        entry = await last_entry(stage)
        assert (entry.status, entry.http_status, entry.streamed) == (Status.CLIENT_GONE, 499, streamed)
        assert entry.usage.estimated
        assert entry.usage.input_tokens == len(body) // 4
        assert entry.usage.output_tokens == pieces
        assert entry.cost_micro is not None
        assert entry.receipt is not None
        assert stage.under_way == 0


async def test_a_client_that_leaves_an_enclave_in_the_middle_of_a_stream(stage: Stage) -> None:
    async with asking(stage, chat_body(model="sim-slow-stream", stream=True)) as client:
        await client.read_until(b'"content":"Your"')
    entry = await last_entry(stage)
    assert entry.status is Status.CLIENT_GONE
    assert entry.usage.output_tokens >= 1
    assert stage.under_way == 0


async def test_a_client_that_leaves_before_a_machine_is_verified_leaves_no_record(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, configuration({"enclave": enclave})) as stage:
            async with asking(stage, chat_body()):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.05)
            enclave.hold_reports.set()
            assert stage.under_way == 0
            await stage.gateway.keepers["enclave"].session(5)  # the verification goes on: others may wait for it
            assert enclave.asked == []
            assert await stage.gateway.ledger.recent(1) == []  # type: ignore[attr-defined]  # SqlLedger's own


async def test_a_client_gone_that_can_not_be_recorded_leaves_its_intent(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start makes a LOST row of it: the request is accounted for either way."""

    async def fail(entry: Entry) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(stage.gateway.ledger, "complete", fail)
    async with asking(stage, chat_body(model="sim-slow-headers")):
        await eventually(lambda: stage.enclave.counters.prompt_requests)
    await asyncio.sleep(0.1)
    assert stage.under_way == 1
    assert await stage.gateway.ledger.recent(1) == []  # type: ignore[attr-defined]  # SqlLedger's own


async def test_a_refusal_names_the_demand_and_the_route(socket_dir: Path) -> None:
    async with staged(socket_dir) as stage:
        response = await stage.chat(provider={"aci_verified": True})
        assert response.status_code == 403
        assert error_of(response)["code"] == "execution_level"
        assert response.headers["x-should-retry"] == "false"
        receipt = await stage.receipt(response)
        assert [event["type"] for event in receipt["event_log"]] == ["request.received", "ollm.config", "upstream.verified", "response.returned"]
        assert receipt["event_log"][2]["reason"] == "policy: no route of this model reaches level tee"
        entry = await stage.entry(response)
        assert (entry.status, entry.http_status, entry.upstream, entry.session_id) == (Status.REFUSED, 403, None, None)
        assert stage.enclave.counters.prompt_requests == 0


async def test_a_providers_failure_is_recorded_with_its_receipt(stage: Stage) -> None:
    response = await stage.chat(model="sim-error-500")
    assert response.status_code == 502
    entry = await stage.entry(response)
    assert (entry.status, entry.http_status) == (Status.UPSTREAM_FAILED, 502)
    assert entry.session_id is not None
    receipt = await stage.receipt(response)
    assert [event["type"] for event in receipt["event_log"]] == [
        "request.received",
        "ollm.config",
        *["ollm.execution", "request.forwarded", "upstream.verified", "ollm.sealed"] * 3,
        "response.returned",
    ]
    assert response.headers["x-should-retry"] == "false", "it was repeated here; clients need not"
