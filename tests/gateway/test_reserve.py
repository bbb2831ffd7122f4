"""Limits and budgets in a running gateway: what is let in is never more than they allow, and ledger, counters and provider agree."""

import asyncio
import math
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, RateLimitError

from ollm.store.keys import parse_key
from ollm.values.ledger import Entry, Status
from ollm.values.level import Level
from ollm.values.terms import Budget, Limit, Terms
from tests.stage import CHAT, MODEL, Stage, chat_body, error_of, stem
from tests.store.making import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def key_with(stage: Stage, terms: Terms) -> str:
    """A key under `terms`, once the running gateway knows it."""
    text = await stage.new_key(terms=terms)
    parsed = parse_key(text)
    assert parsed is not None
    await eventually(lambda: stage.gateway.keys.lookup(parsed[0]) is not None)
    return text


async def ask(stage: Stage, key: str, *, path: str = CHAT, **members: Any) -> httpx2.Response:
    return await stage.http.post(path, content=chat_body(**members), headers={"authorization": f"Bearer {key}"})


async def told(stage: Stage, key: str) -> dict[str, Any]:
    """What GET /v1/key says."""
    response = await stage.http.get("/v1/key", headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def settled(stage: Stage, key: str, what: str) -> dict[str, int]:
    """What stands against each limit, once nothing does against `what`."""
    for _ in range(200):
        limits = {limit["of"]: limit["used"] for limit in (await told(stage, key))["limits"]}
        if not limits[what]:
            return limits
        await asyncio.sleep(0.01)
    raise TimeoutError(what)


async def test_a_limit_of_requests_is_told_apart_and_says_when_to_come_back(shared: Stage) -> None:
    key = await key_with(shared, Terms(limits=(Limit(requests_per_day=2),)))
    first, second, third = [await ask(shared, key) for _ in range(3)]
    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert (error_of(third)["code"], error_of(third)["type"]) == ("rate_limit_exceeded", "requests")
    assert int(third.headers["retry-after"]) >= 1
    assert "x-receipt-id" not in third.headers
    assert await shared.gateway.ledger.find(stem(third)) is None


async def test_tokens_are_held_by_an_upper_bound_and_settled_by_what_was_used(shared: Stage) -> None:
    key = await key_with(shared, Terms(limits=(Limit(tokens_per_day=1000),)))
    assert error_of(await ask(shared, key))["code"] == "max_tokens_required"
    response = await ask(shared, key, max_tokens=500)
    entry = await shared.entry(response)
    assert int(response.headers["x-ratelimit-remaining-tokens"]) < 500, "the bound is held"
    (limit,) = (await told(shared, key))["limits"]
    assert (limit["of"], limit["used"]) == ("tokens", entry.usage.total_tokens)
    refused = await ask(shared, key, max_tokens=1000)
    assert (error_of(refused)["code"], refused.headers["x-should-retry"]) == ("rate_limit_exceeded", "false"), "it never fits"


async def test_requests_at_a_time(shared: Stage) -> None:
    key = await key_with(shared, Terms(limits=(Limit(parallel=1),)))
    headers = {"authorization": f"Bearer {key}"}
    async with shared.http.stream("POST", CHAT, content=chat_body(model="sim-slow-stream", stream=True), headers=headers) as slow:
        assert slow.status_code == 200
        assert error_of(await ask(shared, key))["code"] == "rate_limit_exceeded"
    await settled(shared, key, "parallel")
    assert (await ask(shared, key)).status_code == 200


async def test_the_sdk_raises_for_a_budget_that_is_used_up_and_does_not_try_again(shared: Stage) -> None:
    key = await key_with(shared, Terms(budgets=(Budget(limit_micro=1, window="day"),)))
    async with AsyncOpenAI(base_url=shared.url + "/v1", api_key=key, max_retries=3) as client:
        with pytest.raises(RateLimitError) as refused:
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}], max_tokens=100)
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["x-should-retry"] == "false"


async def test_an_unknown_price_is_refused_under_a_budget(shared: Stage) -> None:
    key = await key_with(shared, Terms(budgets=(Budget(limit_micro=10**9),)))
    refused = await ask(shared, key, model="unpriced", max_tokens=5)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "price_unknown")


async def test_one_request_may_cost_so_much_and_no_more(shared: Stage) -> None:
    key = await key_with(shared, Terms(max_request_micro=100))
    assert (await ask(shared, key, max_tokens=10)).status_code == 200
    refused = await ask(shared, key, max_tokens=10_000)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "request_too_costly")


@pytest.mark.parametrize("model", ["sim-error-500", "sim-cut"])
async def test_what_a_failed_request_did_not_take_is_given_back(model: str, shared: Stage) -> None:
    key = await key_with(shared, Terms(limits=(Limit(tokens_per_day=100_000, parallel=2),)))
    response = await ask(shared, key, model=model, max_tokens=50_000, stream=model == "sim-cut")
    entry = await shared.entry(response)
    limits = {limit["of"]: limit["used"] for limit in (await told(shared, key))["limits"]}
    assert limits == {"tokens": entry.usage.total_tokens, "parallel": 0}


async def test_a_client_that_leaves_gives_back_what_it_did_not_take(shared: Stage) -> None:
    key = await key_with(shared, Terms(limits=(Limit(tokens_per_day=100_000, parallel=1),)))
    headers = {"authorization": f"Bearer {key}"}
    with pytest.raises(httpx2.ReadTimeout):
        await shared.http.post(CHAT, content=chat_body(model="sim-slow-headers", max_tokens=50_000), headers=headers, timeout=0.2)
    assert (await settled(shared, key, "parallel"))["tokens"] < 1000


async def test_a_refusal_for_trust_costs_nothing(shared: Stage) -> None:
    key = await shared.new_key(terms=Terms(budgets=(Budget(limit_micro=10**6),)), require=Level.TEE)
    parsed = parse_key(key)
    assert parsed is not None
    await eventually(lambda: shared.gateway.keys.lookup(parsed[0]) is not None)
    assert (await ask(shared, key, max_tokens=5)).status_code == 403
    (budget,) = (await told(shared, key))["budgets"]
    assert budget["used_micro"] == 0


async def test_a_thousand_at_once_against_money_for_a_hundred(shared: Stage) -> None:
    """What is admitted never costs more than the budget at any moment; ledger, counters and provider agree to the micro-unit and the request."""
    price = {"input": 150_000, "output": 600_000}
    probe = await shared.entry(await ask(shared, shared.api_key, max_tokens=20))
    body = len(chat_body(max_tokens=20))
    held = math.ceil((math.ceil(body / 2) * price["input"] + 20 * price["output"]) / 1_000_000)
    assert probe.cost_micro is not None
    limit = 100 * held
    key = await key_with(shared, Terms(budgets=(Budget(limit_micro=limit, window="year"),)))
    seen = shared.enclave.counters.prompt_requests
    gate = asyncio.Semaphore(200)

    async def one() -> httpx2.Response:
        async with gate:
            return await ask(shared, key, max_tokens=20)

    responses = await asyncio.gather(*(one() for _ in range(1000)))
    served = [response for response in responses if response.status_code == 200]
    refused = [response for response in responses if response.status_code == 429]
    assert [response.text for response in responses if response.status_code not in (200, 429)] == []
    assert {error_of(response)["code"] for response in refused} == {"insufficient_quota"}
    entries = [await shared.gateway.ledger.find(stem(response)) for response in served]
    assert all(entry is not None and entry.status is Status.COMPLETED and entry.reserved_micro == held for entry in entries)
    spent = sum(cost(entry) for entry in entries)
    assert 0 < spent <= limit, "whoever came while all of it was held was refused, whatever was given back later"
    assert len(served) >= limit // held, "as many as fit when each is held at its most"
    (budget,) = (await told(shared, key))["budgets"]
    assert budget["used_micro"] == spent
    assert shared.enclave.counters.prompt_requests - seen == len(served)
    page = (await shared.http.get("/v1/usage", headers={"authorization": f"Bearer {key}"})).json()
    assert sum(result["cost_micro"] for bucket in page["data"] for result in bucket["results"]) == spent


def cost(entry: Entry | None) -> int:
    assert entry is not None and entry.cost_micro is not None
    return entry.cost_micro
