"""Lists of models in the form of each provider, with made-up models and prices: what the servers that play them answer."""

import json
from collections.abc import Mapping
from typing import Any

_MODELS = [(f"maker/model-{number}", 1_000 + number) for number in range(5)]


def engine(name: str) -> bytes:
    """vLLM's own: one model, without a price."""
    return _list({"id": name, "object": "model", "created": 1, "owned_by": "vllm", "root": name, "parent": None, "max_model_len": 131072})


def near_cloud(query: Mapping[str, str]) -> bytes:
    """A page of NEAR AI Cloud's, as `limit` and `offset` ask for it."""
    limit, offset = int(query.get("limit", "100")), int(query.get("offset", "0"))
    models = [_costing(name, nano) for name, nano in _MODELS]
    return json.dumps({"models": models[offset : offset + limit], "limit": limit, "offset": offset, "total": len(models)}).encode()


def _costing(name: str, nano: int) -> dict[str, Any]:
    def cost(amount: int) -> dict[str, Any]:
        return {"amount": amount, "scale": 9, "currency": "USD"}

    prices = {"inputCostPerToken": cost(nano), "outputCostPerToken": cost(3 * nano), "cacheReadCostPerToken": cost(0), "costPerImage": cost(0)}
    return {"modelId": name, **prices, "metadata": {"contextLength": 262144, "verifiable": True, "ownedBy": "near"}}


def per_token(*names: str) -> bytes:
    """OpenRouter's, which RedPill and private-ai-gateway took over: decimal strings, USD per token."""
    pricing = {"prompt": "0.00000035", "completion": "0.0000014", "input_cache_read": "0.000000035", "image": "0", "request": "0"}
    return _list(*({"id": name, "name": name, "context_length": 163840, "pricing": pricing, "is_tee": True} for name in names))


def chutes(chute: str) -> bytes:
    """Of two chutes: `chute`, and somebody else's."""

    def entry(name: str, chute_id: str) -> dict[str, Any]:
        pricing = {"prompt": 0.35, "completion": 1.4, "input_cache_read": 0.175}
        return {"id": name, "chute_id": chute_id, "max_model_len": 202752, "confidential_compute": True, "pricing": pricing, "price": {}}

    return _list(entry("zai/GLM-TEE", chute), entry("other/Model-TEE", "00000000-0000-4000-8000-00000000ffff"))


def _list(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


TINFOIL = _list(
    {
        "id": "llama-made-up",
        "type": "chat",
        "context_window": 128000,
        "endpoints": ["/v1/chat/completions"],
        "pricing": {"inputTokenPricePer1M": 1.75, "outputTokenPricePer1M": 2.75, "cachedInputTokenPricePer1M": 0.35, "requestPrice": 0},
    },
    {"id": "search-made-up", "type": "tool", "pricing": {"inputTokenPricePer1M": 0, "outputTokenPricePer1M": 0, "requestPrice": 0.01}},
)
OPENAI = _list({"id": "theirs", "object": "model", "created": 1, "owned_by": "them"}, {"id": "theirs-large", "object": "model", "created": 1})
ANTHROPIC = json.dumps(
    {
        "data": [{"type": "model", "id": "made-up-1", "display_name": "Made Up 1", "created_at": "2026-01-01T00:00:00Z", "max_input_tokens": 200000}],
        "has_more": False,
        "first_id": "made-up-1",
        "last_id": "made-up-1",
    }
).encode()
