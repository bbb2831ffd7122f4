"""May this caller have this, and from whom."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ollm.config.settings import GatewaySettings, ModelSettings
from ollm.gateway.admit import admit
from ollm.sim.service import SimEnclave, SimOptions
from ollm.store.keys import parse_key
from ollm.values.ledger import Status
from ollm.values.level import Level
from ollm.values.terms import Terms
from ollm.wire.endpoints import NAMES
from ollm.wire.preferences import Preferences
from ollm.wire.request import parse_json
from tests.callers import caller as calling
from tests.stage import CHAT, MODEL, Stage, chat_body, configuration, error_of, eventually, opened, policy_table, upstream_table


async def test_a_model_that_is_not_configured_has_no_receipt_and_no_row(stage: Stage) -> None:
    response = await stage.chat(model="gpt-9 secret")
    assert response.status_code == 404
    error = error_of(response)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "gpt-9" not in response.text
    assert "x-receipt-id" not in response.headers
    assert await stage.gateway.ledger.recent(1) == []  # type: ignore[attr-defined]  # SqlLedger's own


async def test_a_key_that_requires_hardware_is_not_served_by_software(stage: Stage) -> None:
    key = await stage.new_key(require=Level.TEE)
    await eventually(lambda: len(stage.gateway.keys._credentials) == 2)  # type: ignore[attr-defined]  # seen within a second
    headers = {"authorization": f"Bearer {key}"}
    response = await stage.http.post(CHAT, content=b'{"model":"demo","messages":[]}', headers=headers)
    assert response.status_code == 403
    error = error_of(response)
    assert (error["type"], error["code"]) == ("permission_error", "execution_level")
    assert "level 'tee'" in error["message"]
    assert stage.enclave.counters.prompt_bytes == 0

    entry = await stage.entry(response)
    assert (entry.status, entry.http_status, entry.level) == (Status.REFUSED, 403, None)
    receipt = await stage.http.get(f"/v1/aci/receipts/{response.headers['x-receipt-id']}", headers=headers)
    log = {event["type"]: event for event in receipt.json()["event_log"]}
    assert log["upstream.verified"] == {
        "type": "upstream.verified",
        "model_id": "demo",
        "result": "failed",
        "required": True,
        "reason": "policy: no route of this model reaches level tee",
    }
    assert "request.forwarded" not in log


async def test_the_floor_of_the_configuration_holds_for_every_key(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, opened(socket_dir, configuration({"enclave": enclave}, gateway={"floor": "zdr"})) as stage:
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (403, "execution_level")
        assert "level 'zdr'" in error_of(response)["message"]


async def test_a_request_may_demand_hardware_and_can_not_lower_anything(stage: Stage) -> None:
    assert (await stage.chat(provider={"aci_verified": True})).status_code == 403
    assert (await stage.chat(provider={"aci_verified": False})).status_code == 200
    assert (await stage.chat(provider={})).status_code == 200
    assert (await stage.chat(provider=None)).status_code == 200


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ({"aci_verified": "yes"}, "provider.aci_verified"),
        ({"aci_session_ids": []}, "provider.aci_session_ids"),
        ({"aci_session_ids": ["zz"]}, "provider.aci_session_ids"),
        ({"aci_session_ids": ["ab" * 32], "aci_verified": False}, "provider.aci_verified"),
        ({"aci_region": "eu"}, "provider"),
        ("enclave", "provider"),
    ],
)
async def test_a_demand_that_is_not_understood_is_refused(stage: Stage, provider: object, param: str) -> None:
    response = await stage.chat(provider=provider)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["code"], error["param"]) == ("invalid_request", param)
    assert "x-receipt-id" not in response.headers
    assert stage.enclave.counters.prompt_bytes == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b'{"model":"demo","model":"demo"}', None),
        (b'{"model":"demo","messages":[{"a":1,"a":2}]}', None),
        (b'{"model":"demo","x":NaN}', None),
        (b'{"model":"demo","x":' + b"[" * 200 + b"]" * 200 + b"}", None),
        (b'{"messages":[]}', "model"),
        (b'{"model":5}', "model"),
        (b'{"model":"demo","stream":"yes"}', "stream"),
        (b'{"model":"demo","stream_options":{"include_usage":"yes"}}', "stream_options.include_usage"),
    ],
)
async def test_a_body_that_is_not_understood_is_refused_with_the_member_at_fault(stage: Stage, body: bytes, param: str | None) -> None:
    response = await stage.http.post(CHAT, content=body)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_request", param)


async def test_only_routes_of_the_demanded_level_are_tried(socket_dir: Path) -> None:
    """One model, two upstreams: one would be hardware if it could be verified, the other is software."""
    async with SimEnclave(SimOptions()) as real, SimEnclave(SimOptions()) as played:
        tree = configuration({"real": real, "played": played})
        table = policy_table(real.policy)
        del table["tdx"]["simulated_root_sha256"]
        tree["policies"]["real"] = {**table, "level": "tee"}
        tree["upstreams"]["real"] = upstream_table(real, "real")
        tree["models"][MODEL]["upstreams"] = ["played", "real"]
        async with opened(socket_dir, tree) as stage:
            assert (await stage.entry(await stage.chat())).upstream == "played"
            response = await stage.chat(provider={"aci_verified": True})
            assert response.status_code == 503
            assert "(platform.marker: " in error_of(response)["message"]
            log = json.dumps(await stage.receipt(response))
            assert "played" not in log
            assert real.counters.prompt_bytes == 0
            assert played.counters.prompt_requests == 1


LEVELS = {"played": Level.SIMULATED, "first": Level.TEE, "trusted": Level.ZDR, "second": Level.TEE}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("verified", [False, True], ids=["", "aci_verified"])
@pytest.mark.parametrize("key", Level)
@pytest.mark.parametrize("configured", Level)
async def test_the_strictest_of_configuration_key_and_request_decides(configured: Level, key: Level, verified: bool, shared: Stage) -> None:
    """Candidates keep the model's order, whatever their levels."""
    model = ModelSettings(upstreams=("played", "first", "trusted", "second"))
    settings = msgspec.structs.replace(shared.gateway.settings, gateway=GatewaySettings(floor=configured), models={"demo": model})
    gateway = msgspec.structs.replace(shared.gateway, settings=settings, levels=LEVELS, speaks=dict.fromkeys(LEVELS, NAMES), ways={})
    ticket = admit(gateway, calling(key), parse_json(chat_body()), Preferences(verified=verified))
    by_floor = {
        Level.SIMULATED: ("played", "first", "trusted", "second"),
        Level.ZDR: ("first", "trusted", "second"),
        Level.TEE: ("first", "second"),
    }
    floor = Level.TEE if verified else max(configured, key, key=lambda level: level.rank)
    assert (ticket.demand.floor, ticket.candidates, ticket.model) == (floor, by_floor[floor], model)


@pytest.mark.asyncio(loop_scope="module")
async def test_asking_who_is_ready_takes_nobodys_turn(shared: Stage) -> None:
    """Of several machines of one upstream `held` gives another each time: it is asked once for each request, by whoever sends it."""

    class Several:
        def sessions(self) -> tuple[object, ...]:
            return (object(),)

    model = ModelSettings(upstreams=("first", "second"), spread=True)
    settings = msgspec.structs.replace(shared.gateway.settings, models={"demo": model})
    keepers: Any = {"first": Several(), "second": Several()}
    gateway = msgspec.structs.replace(
        shared.gateway, settings=settings, levels=LEVELS, speaks=dict.fromkeys(LEVELS, NAMES), ways={}, turns={}, keepers=keepers
    )
    tickets = [admit(gateway, calling(), parse_json(chat_body())) for _ in range(2)]
    assert [ticket.candidates for ticket in tickets] == [("first", "second"), ("second", "first")]


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (Terms(models=("other",)), "model_not_allowed"),
        (Terms(endpoints=("embeddings",)), "endpoint_not_allowed"),
        (Terms(upstreams=()), "provider_not_allowed"),
        (Terms(require=Level.TEE), "execution_level"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_terms_do_not_allow_is_refused_with_a_receipt(terms: Terms, code: str, shared: Stage) -> None:
    key = await shared.new_key(terms=terms)
    parsed = parse_key(key)
    assert parsed is not None
    await eventually(lambda: shared.gateway.keys.lookup(parsed[0]) is not None)
    response = await shared.http.post(CHAT, content=chat_body(), headers={"authorization": f"Bearer {key}"})
    assert (response.status_code, error_of(response)["code"]) == (403, code)
    assert response.headers["x-receipt-id"]
    assert (await shared.entry(response)).status is Status.REFUSED
