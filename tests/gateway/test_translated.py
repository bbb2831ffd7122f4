"""Clients of Messages and Responses before an enclave that speaks chat completions alone: attested, sealed, and translated."""

import json
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.providers.zdr import ZdrServer
from ollm.values.ledger import Status
from ollm.values.level import Level
from tests.stage import MODEL, Stage, configuration, error_of, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES: Any = [{"role": "user", "content": "Hello there"}]
WEATHER: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def of_anthropic(stage: Stage) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=stage.url, api_key=stage.api_key, max_retries=0)


def of_openai(stage: Stage) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0)


async def test_a_message(shared: Stage) -> None:
    async with of_anthropic(shared) as client:
        answer = await client.messages.create(model=MODEL, max_tokens=256, system="Be brief.", messages=MESSAGES)
        assert answer.content[0].type == "text"
        assert "Hello there" in answer.content[0].text
        assert (answer.model, answer.stop_reason, answer.id[:4]) == (MODEL, "end_turn", "msg_")
        async with client.messages.stream(model=MODEL, max_tokens=256, system="Be brief.", messages=MESSAGES) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        assert text == answer.content[0].text
        assert (final.usage.input_tokens, final.usage.output_tokens) == (answer.usage.input_tokens, answer.usage.output_tokens)
        assert answer._request_id is not None
        entry = await shared.gateway.ledger.find(answer._request_id.removeprefix("req_"))
        assert entry is not None
        assert (entry.endpoint, entry.status, entry.level) == ("messages", Status.COMPLETED, "simulated")
        assert entry.usage.output_tokens == answer.usage.output_tokens


async def test_a_tool_of_a_message(shared: Stage) -> None:
    tools: Any = [{"name": "weather", "description": "of a city", "input_schema": WEATHER}]
    async with of_anthropic(shared) as client:
        answer = await client.messages.create(
            model=MODEL, max_tokens=256, messages=MESSAGES, tools=tools, tool_choice={"type": "tool", "name": "weather"}
        )
        [call] = [block for block in answer.content if block.type == "tool_use"]
        assert (call.name, answer.stop_reason) == ("weather", "tool_use")
        assert isinstance(call.input, dict)
        assert set(call.input) == {"city"}
        result: Any = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]
        turns: Any = [*MESSAGES, {"role": "assistant", "content": [call.model_dump()]}, {"role": "user", "content": result}]
        again = await client.messages.create(model=MODEL, max_tokens=256, messages=turns, tools=tools)
        assert again.content


async def test_a_response(shared: Stage) -> None:
    async with of_openai(shared) as client:
        answer = await client.responses.create(model=MODEL, input="Hello there", instructions="Be brief.")
        assert "Hello there" in answer.output_text
        assert (answer.model, answer.status, answer.id[:5]) == (MODEL, "completed", "resp_")
        assert (answer.model_extra or {})["store"] is False
        async with client.responses.stream(model=MODEL, input="Hello there", instructions="Be brief.") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert (kinds[0], kinds[-1], final.output_text) == ("response.created", "response.completed", answer.output_text)


async def test_a_structured_response(shared: Stage) -> None:
    async with of_openai(shared) as client:
        format: Any = {"format": {"type": "json_schema", "name": "weather", "schema": WEATHER, "strict": True}}
        answer = await client.responses.create(model=MODEL, input="Hello there", text=format)
        assert set(json.loads(answer.output_text)) == {"city"}
        tools: Any = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
        called = await client.responses.create(model=MODEL, input="Hello there", tools=tools, tool_choice={"type": "function", "name": "weather"})
        [call] = [item for item in called.output if item.type == "function_call"]
        assert set(json.loads(call.arguments)) == {"city"}


async def test_the_receipt_says_that_it_was_translated(shared: Stage) -> None:
    response = await shared.http.post("/v1/messages", json={"model": MODEL, "max_tokens": 9, "messages": MESSAGES})
    assert response.status_code == 200
    receipt = await shared.receipt(response)
    assert receipt["endpoint"] == "/v1/messages"
    assert {"asked": "messages", "spoken": "chat.completions", "type": "ollm.translated"} in receipt["event_log"]
    assert [event["type"] for event in receipt["event_log"]].count("ollm.sealed") == 1


async def test_what_can_not_be_said_is_refused_by_name_and_nothing_leaves(shared: Stage) -> None:
    before = shared.enclave.counters.prompt_requests
    body = {"model": MODEL, "max_tokens": 9, "messages": MESSAGES, "mcp_servers": [{"type": "url", "url": "https://a.example", "name": "a"}]}
    response = await shared.http.post("/v1/messages", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("untranslatable", "mcp_servers")
    assert "a.example" not in response.text
    assert shared.enclave.counters.prompt_requests == before


async def test_what_has_no_translation_is_not_served(shared: Stage) -> None:
    response = await shared.http.post("/v1/messages/count_tokens", json={"model": MODEL, "messages": MESSAGES})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "endpoint_not_supported")


async def test_a_provider_that_breaks_off_is_told_in_the_clients_api(shared: Stage) -> None:
    body = {"model": "sim-error-stream", "max_tokens": 9, "messages": MESSAGES, "stream": True}
    response = await shared.http.post("/v1/messages", json=body)
    assert b"event: error\ndata: " in response.content
    assert b"simulated failure" not in response.content
    assert (await shared.entry(response)).status is Status.UPSTREAM_FAILED
    whole = await shared.http.post("/v1/responses", json={"model": "sim-error-500", "input": "x"})
    assert (whole.status_code, error_of(whole)["code"]) == (502, "upstream_error")


async def test_a_member_that_can_not_be_said_is_no_wish_for_less_protection(tmp_path: Path) -> None:
    """A route of a lower level would take the request as it is; it isn't asked."""
    async with SimEnclave(SimOptions()) as enclave, ZdrServer() as server:
        tree = configuration({"enclave": enclave}, models={MODEL: {"upstreams": ["enclave", "open"]}})
        tree["upstreams"]["open"] = {"url": server.url, "adapter": "anthropic", "ca": server.ca}
        async with opened(tmp_path, tree) as stage:
            stage.gateway.levels["enclave"] = Level.TEE
            body = {"model": MODEL, "max_tokens": 9, "messages": MESSAGES, "top_k": 5}
            refused = await stage.http.post("/v1/messages", json=body)
            assert (refused.status_code, refused.json()["error"]["code"], refused.json()["error"]["param"]) == (400, "untranslatable", "top_k")
            stage.gateway.levels["enclave"] = Level.ZDR
            assert (await stage.http.post("/v1/messages", json=body)).status_code == 200
            assert len(server.asked) == 1
