"""Golden costs: what providers say that an answer used, through the parsers, whole and streamed, to the micro-unit.

Each vector has the exact cost as its provider's price list gives it; the cost that is kept is that, rounded up once.
"""

import json
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

import pytest

from ollm.traffic.price import cost_micro
from ollm.values.price import Above, Price, Schedule
from ollm.values.usage import Usage
from ollm.wire.answer import StreamRewriter, rewrite_whole
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.typed_answer import TypedRewriter


def usd(**rates: str) -> Any:
    """Rates in USD per million tokens, as price lists have them, as ours."""
    return {name: int(Decimal(rate) * 1_000_000) for name, rate in rates.items()}


class Vector(NamedTuple):
    """`answer`: what stands in the answer beside its content. `exact`: micro-units."""

    endpoint: str
    answer: dict[str, Any]
    price: Price
    exact: str
    total: int | None = None  # the provider's own count of tokens, where it gives one or where the parts are disjoint


def chat(prompt: int, completion: int, *, tier: str | None = None, details: Any = None, parts: Any = None) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"usage": {**usage, "prompt_tokens_details": details, "completion_tokens_details": parts}, "service_tier": tier}


def typed(prompt: int, output: int, **more: Any) -> dict[str, Any]:
    return {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output, **more}


GPT_4O = Price(**usd(input="2.5", cached="1.25", output="10"))
GPT_5 = Price(
    **usd(input="1.25", cached="0.125", output="10"),
    tiers={
        "flex": Schedule(**usd(input="0.625", cached="0.0625", output="5")),
        "priority": Schedule(**usd(input="2.5", cached="0.25", output="20")),
    },
)
OPUS = Price(**usd(input="5", cache_write="6.25", cache_write_long="10", cached="0.5", output="25"))
SONNET = Price(**usd(input="3", cache_write="3.75", cache_write_long="6", cached="0.3", output="15"))
GEMINI_PRO = Price(**usd(input="1.25", cached="0.625", output="10"))
GEMINI_LONG = Price(**usd(input="1.25", cached="0.31", output="10"), above=(Above(**usd(input="2.5", cached="0.625", output="15"), tokens=200_000),))
GEMINI_FLASH = Price(**usd(input="0.5", cached="0.05", output="3"))
AUDIO = Price(**usd(input="2.5", output="10", audio_input="40", audio_output="80"))
PICTURES = Price(**usd(input="5", cached="1.25", image_input="10", image_output="40", output="40"))
TRANSCRIBE = Price(**usd(input="2.5", audio_input="6", output="10"))

VECTORS = {
    # OpenAI: prompt_tokens includes the cached ones; paying them twice makes 3.625
    "gpt-4o, cached": Vector("chat.completions", chat(1_000_000, 0, details={"cached_tokens": 900_000}), GPT_4O, "1375000", 1_000_000),
    # Anthropic: input_tokens excludes what the cache took; adding it makes 1.85984625
    "opus, cache write": Vector(
        "messages", {"usage": {"input_tokens": 6, "cache_creation_input_tokens": 159_217, "output_tokens": 2_745}}, OPUS, "1063761.25", 161_968
    ),
    "sonnet, cache write": Vector(
        "messages", {"usage": {"input_tokens": 3, "cache_creation_input_tokens": 12_304, "output_tokens": 550}}, SONNET, "54399", 12_857
    ),
    "gemini pro, cached": Vector("chat.completions", chat(262_960, 1_744, details={"cached_tokens": 257_955}), GEMINI_PRO, "184918.125", 264_704),
    "gemini flash, cached": Vector("chat.completions", chat(20_212, 931, details={"cached_tokens": 16_298}), GEMINI_FLASH, "5564.9", 21_143),
    "gemini pro, long context": Vector(
        "chat.completions", chat(262_960, 1_744, details={"cached_tokens": 257_955}), GEMINI_LONG, "199894.375", 264_704
    ),
    "gemini pro, context at the threshold": Vector("chat.completions", chat(200_000, 10), GEMINI_LONG, "250100", 200_010),
    "sonnet, one hour of cache": Vector(
        "messages",
        {
            "usage": {
                "input_tokens": 21,
                "cache_read_input_tokens": 188_086,
                "cache_creation_input_tokens": 456,
                "cache_creation": {"ephemeral_5m_input_tokens": 156, "ephemeral_1h_input_tokens": 300},
                "output_tokens": 393,
                "service_tier": "standard",
            }
        },
        SONNET,
        "64768.8",  # 63 + 56425.8 + 585 + 1800 + 5895
        188_956,
    ),
    "gpt-5, reasoning": Vector(
        "chat.completions",
        chat(1_000, 100, details={"cached_tokens": 500}, parts={"reasoning_tokens": 64}),
        GPT_5,
        "1687.5",
        1_100,
    ),
    "gpt-5, flex": Vector("chat.completions", chat(1_000, 100, tier="flex", details={"cached_tokens": 500}), GPT_5, "843.75", 1_100),
    "gpt-5, priority": Vector("chat.completions", chat(1_000, 100, tier="priority", details={"cached_tokens": 500}), GPT_5, "3375", 1_100),
    "gpt-5, the usual tier": Vector("chat.completions", chat(1_000, 100, tier="default", details={"cached_tokens": 500}), GPT_5, "1687.5", 1_100),
    "gpt-4o audio": Vector(
        "chat.completions",
        chat(120, 260, details={"audio_tokens": 100, "cached_tokens": 0, "text_tokens": 20}, parts={"audio_tokens": 200, "text_tokens": 60}),
        AUDIO,
        "20650",  # 50 + 4000 + 600 + 16000
        380,
    ),
    "vision, pictures as text": Vector("chat.completions", chat(1_000, 10, details={"image_tokens": 900}), GPT_4O, "2600", 1_010),
    "grok, reasoning on top": Vector(
        "chat.completions",
        {
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            }
        },
        GPT_4O,
        "1075",
        115,
    ),
    "responses, cached and reasoning": Vector(
        "responses",
        {"usage": typed(1_000, 100, input_tokens_details={"cached_tokens": 500}, output_tokens_details={"reasoning_tokens": 64})},
        GPT_5,
        "1687.5",
        1_100,
    ),
    "responses, flex": Vector("responses", {"usage": typed(1_000, 100), "service_tier": "flex"}, GPT_5, "1125", 1_100),
    "gpt-image": Vector(
        "images.generations",
        {"usage": typed(50, 4_160, input_tokens_details={"text_tokens": 10, "image_tokens": 40})},
        PICTURES,
        "166850",  # 50 + 400 + 166400
        4_210,
    ),
    "a picture by the piece": Vector("images.generations", {}, Price(per_image=40_000), "40000"),
    "gpt-4o-transcribe": Vector(
        "audio.transcriptions",
        {"usage": typed(14, 45, type="tokens", input_token_details={"text_tokens": 4, "audio_tokens": 10})},
        TRANSCRIBE,
        "520",  # 10 + 60 + 450
        59,
    ),
    "whisper, by the minute": Vector("audio.transcriptions", {"usage": {"type": "duration", "seconds": 93}}, Price(per_minute=6_000), "9300"),
    "speech, by tokens": Vector("audio.speech", {"usage": typed(14, 101)}, Price(**usd(input="0.6", audio_output="12")), "1220.4", 115),
}


def whole(vector: Vector) -> Usage | None:
    answer = {"id": "theirs", "object": "x", "data": [{"b64_json": "eA=="}], **vector.answer}
    return rewrite_whole(json.dumps(answer).encode(), ENDPOINTS[vector.endpoint], id="ours", model="m")[1]


def event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def streamed(vector: Vector) -> Usage | None:
    """The same answer as a stream of its API."""
    if vector.endpoint == "chat.completions":
        chunk = {"id": "theirs", "object": "chat.completion.chunk", "service_tier": vector.answer.get("service_tier")}
        rewriter = StreamRewriter(id="ours", model="m", include_usage=False)
        rewriter.feed(event({**chunk, "choices": [{"index": 0, "delta": {"content": "Hi"}}], "usage": None}))
        rewriter.feed(event({**chunk, "choices": [], "usage": vector.answer["usage"]}) + b"data: [DONE]\n\n")
        return rewriter.usage
    typed_rewriter = TypedRewriter(ENDPOINTS[vector.endpoint], id="ours", model="m")
    for part in _typed_events(vector):
        typed_rewriter.feed(event(part))
    if not typed_rewriter.ended:
        typed_rewriter.close()
    assert typed_rewriter.done
    return typed_rewriter.usage


def _typed_events(vector: Vector) -> list[dict[str, Any]]:
    if vector.endpoint == "responses":
        begun = {"type": "response.created", "response": {"id": "theirs", "usage": None, "service_tier": "auto"}}
        return [begun, {"type": "response.completed", "response": {"id": "theirs", **vector.answer}}]
    if vector.endpoint == "messages":
        usage = vector.answer["usage"]
        return [
            {"type": "message_start", "message": {"id": "theirs", "usage": {**usage, "output_tokens": 1}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": usage["output_tokens"]}},
            {"type": "message_stop"},
        ]
    (end,) = ENDPOINTS[vector.endpoint].ends
    return [{"type": end, **vector.answer}]


@pytest.mark.parametrize("form", [whole, streamed])
@pytest.mark.parametrize("name", VECTORS)
def test_the_cost_is_exact_and_whole_answers_and_streams_cost_the_same(name: str, form: Any) -> None:
    vector = VECTORS[name]
    usage = form(vector)
    assert usage is not None
    assert not usage.estimated and not usage.count_mismatch
    assert cost_micro(usage, vector.price) == int(Decimal(vector.exact).to_integral_value(ROUND_CEILING))
    if vector.total is not None:
        assert usage.total_tokens == vector.total


@pytest.mark.parametrize("name", VECTORS)
def test_a_stream_counts_as_the_whole_answer_does(name: str) -> None:
    assert streamed(VECTORS[name]) == whole(VECTORS[name])


def test_speech_by_the_character() -> None:
    assert cost_micro(Usage(characters=1_234, estimated=True), Price(per_million_characters=15_000_000)) == 18_510


def test_an_anthropic_stream_is_paid_for_what_its_parts_say_together() -> None:
    """message_start has the prompt, message_delta the output alone: neither is the whole of it."""
    rewriter = TypedRewriter(ENDPOINTS["messages"], id="ours", model="m")
    rewriter.feed(event({"type": "message_start", "message": {"usage": {"input_tokens": 1_000, "cache_read_input_tokens": 10, "output_tokens": 3}}}))
    rewriter.feed(event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 500}}) + event({"type": "message_stop"}))
    assert rewriter.usage == Usage(input_tokens=1_000, cached_tokens=10, output_tokens=500)
    assert cost_micro(rewriter.usage, SONNET) == 10_503  # 3000 + 3 + 7500
