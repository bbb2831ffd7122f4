"""Usage of every API becomes disjoint buckets whose sum is the provider's own count."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.values.usage import COUNTS, Tier, Usage
from ollm.wire.usage import (
    chat_usage,
    duration_usage,
    images_usage,
    messages_usage,
    pictures_in,
    speech_usage,
    tier_of,
    typed_usage,
)

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        (USAGE, Usage(input_tokens=10, output_tokens=5)),
        # OpenAI's prompt_tokens includes the cached ones, completion_tokens the reasoning
        (
            {**USAGE, "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(input_tokens=6, cached_tokens=4, output_tokens=2, reasoning_tokens=3),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 20, "audio_tokens": 30, "image_tokens": 5, "text_tokens": 65},
                "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 15, "image_tokens": 10, "rejected_prediction_tokens": 3},
            },
            Usage(
                input_tokens=35,
                cached_tokens=10,
                cache_write_tokens=20,
                audio_input_tokens=30,
                image_input_tokens=5,
                output_tokens=20,
                reasoning_tokens=5,
                audio_output_tokens=15,
                image_output_tokens=10,
            ),
        ),
        # Cached pictures: of 800 tokens 700 were pictures and 600 cached, and nobody says which: none is counted twice, none is negative
        (
            {"prompt_tokens": 800, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 600, "image_tokens": 700}},
            Usage(cached_tokens=600, image_input_tokens=200, output_tokens=1),
        ),
        ({**USAGE, "prompt_tokens_details": None, "completion_tokens_details": {"reasoning_tokens": None}}, Usage(input_tokens=10, output_tokens=5)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(cached_tokens=3, output_tokens=1)),
        ({"prompt_tokens": 3}, Usage(input_tokens=3)),
        ({"total_tokens": 7}, Usage(input_tokens=7)),  # rerank
        # xAI and others count the reasoning on top of completion_tokens: the total shows it
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115, "completion_tokens_details": {"reasoning_tokens": 100}},
            Usage(input_tokens=10, output_tokens=5, reasoning_tokens=100),
        ),
        ({**USAGE, "total_tokens": 16}, Usage(input_tokens=10, output_tokens=5, count_mismatch=True)),
        ({**USAGE, "prompt_tokens_details": {"cache_write_tokens": "x"}}, Usage(input_tokens=10, output_tokens=5)),
        ({**USAGE, "prompt_tokens_details": {"cache_write_tokens": 99}}, Usage(cache_write_tokens=10, output_tokens=5)),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": -1}}, None),
        ({**USAGE, "total_tokens": -1}, None),
        (None, None),
        ({}, None),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
        ({"prompt_tokens": 2**70, "completion_tokens": 1}, None),
        ({"prompt_tokens": "3"}, None),
        ({"prompt_tokens": 3.5}, None),
        ({"input_tokens": 3}, None),
        ([], None),
    ],
)
def test_chat_usage_becomes_disjoint_buckets(document: object, usage: Usage | None) -> None:
    assert chat_usage(raw(document)) == usage


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, Usage(input_tokens=10, output_tokens=5)),
        (
            {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 15,
            },
            Usage(input_tokens=5, cached_tokens=4, cache_write_tokens=1, output_tokens=2, reasoning_tokens=3),
        ),
        # A transcription, which spells its details otherwise
        (
            {"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 4, "audio_tokens": 10}, "output_tokens": 45},
            Usage(input_tokens=4, audio_input_tokens=10, output_tokens=45),
        ),
        ({"type": "duration", "seconds": 4}, Usage(audio_ms=4000)),
        ({"type": "duration", "seconds": 4.0001}, Usage(audio_ms=4001)),
        ({"type": "duration", "seconds": -1}, None),
        ({"type": "duration", "seconds": 1e12}, None),
        ({"input_tokens": 5, "output_tokens_details": 7}, Usage(input_tokens=5)),
        ({"input_tokens": -1}, None),
        ({"input_tokens": 2**41}, None),
        ("ten", None),
        (None, None),
    ],
)
def test_typed_usage_becomes_disjoint_buckets(document: object, usage: Usage | None) -> None:
    assert typed_usage(raw(document)) == usage


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        (
            {"input_tokens": 8, "input_tokens_details": {"text_tokens": 3, "image_tokens": 5}, "output_tokens": 272, "total_tokens": 280},
            Usage(input_tokens=3, image_input_tokens=5, image_output_tokens=272),
        ),
        (
            {"input_tokens": 8, "output_tokens": 272, "output_tokens_details": {"image_tokens": 270, "text_tokens": 2}},
            Usage(input_tokens=8, output_tokens=2, image_output_tokens=270),
        ),
        (None, None),
    ],
)
def test_what_images_make_is_pictures(document: object, usage: Usage | None) -> None:
    assert images_usage(raw(document)) == usage


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"input_tokens": 8, "output_tokens": 100, "total_tokens": 108}, Usage(input_tokens=8, audio_output_tokens=100)),
        (
            {"input_tokens": 8, "output_tokens": 100, "output_tokens_details": {"audio_tokens": 99}},
            Usage(input_tokens=8, output_tokens=1, audio_output_tokens=99),
        ),
        ([], None),
    ],
)
def test_what_speech_makes_is_audio(document: object, usage: Usage | None) -> None:
    assert speech_usage(raw(document)) == usage


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(input_tokens=10, output_tokens=5)),
        # Anthropic counts what the cache gave and took beside input_tokens
        (
            {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 5},
            Usage(input_tokens=10, cached_tokens=100, cache_write_tokens=20, output_tokens=5),
        ),
        (
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 20,
                "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 4},
                "service_tier": "priority",
            },
            Usage(input_tokens=10, cache_write_tokens=5, cache_write_long_tokens=15, output_tokens=1, reasoning_tokens=4, tier="priority"),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
            Usage(input_tokens=1, cache_write_long_tokens=2),
        ),
        ({"input_tokens": 5, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 99}}, Usage(input_tokens=5, reasoning_tokens=3)),
        ({"input_tokens": 5, "output_tokens_details": "x", "cache_creation": [], "service_tier": 7}, Usage(input_tokens=5)),
        ({"input_tokens": 10, "cache_read_input_tokens": None, "cache_creation": None}, Usage(input_tokens=10)),
        ({"input_tokens": -1, "cache_read_input_tokens": 5}, None),
        ({"input_tokens": 5, "cache_creation_input_tokens": -5}, None),
        ({"output_tokens": 5}, None),
        ({"input_tokens": 2**41, "output_tokens": 5}, None),
        ({"input_tokens": "10"}, None),
        ([], None),
    ],
)
def test_messages_usage_becomes_disjoint_buckets(document: object, usage: Usage | None) -> None:
    assert messages_usage(raw(document)) == usage


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ('"default"', "default"),
        ('"auto"', None),
        ('"on_demand"', "default"),
        ('"standard"', "standard"),
        ('"flex"', "flex"),
        ('"priority"', "priority"),
        ('"a word of the prompt"', "other"),
        ("null", None),
        ("7", None),
        ('"\\ud800"', None),
    ],
)
def test_tiers_are_words_of_ours(text: str, tier: Tier | None) -> None:
    assert tier_of(text.encode()) == tier
    assert tier_of(None) is None


@pytest.mark.parametrize("parse", [chat_usage, typed_usage, images_usage, speech_usage, messages_usage])
def test_the_tier_of_an_answer_stands_in_its_usage(parse: Callable[..., Usage | None]) -> None:
    usage = parse(raw({"prompt_tokens": 1, "input_tokens": 1}), "flex")
    assert usage is not None and usage.tier == "flex"


@pytest.mark.parametrize(("text", "usage"), [(b"3.5", Usage(audio_ms=3500)), (b'"3.5"', None), (b"-1", None), (None, None)])
def test_a_duration_is_milliseconds_of_audio(text: bytes | None, usage: Usage | None) -> None:
    assert duration_usage(text) == usage


@pytest.mark.parametrize(("text", "pictures"), [(b'[{"b64_json":"x"},{}]', 2), (b"[]", 0), (b'"x"', 0), (None, 0)])
def test_pictures_are_counted(text: bytes | None, pictures: int) -> None:
    assert pictures_in(text) == pictures


COUNT = st.none() | st.integers(0, 2000)
DETAILS = st.none() | st.fixed_dictionaries(dict.fromkeys(("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"), COUNT))
PARTS = st.none() | st.fixed_dictionaries(dict.fromkeys(("reasoning_tokens", "audio_tokens", "image_tokens"), COUNT))


@given(prompt=st.integers(0, 2000), completion=st.integers(0, 2000), details=DETAILS, parts=PARTS)
def test_the_sum_of_the_buckets_is_the_providers_total(prompt: int, completion: int, details: Any, parts: Any) -> None:
    total = prompt + completion
    chat = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    typed = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": total}
    found = [chat_usage(raw({**chat, "prompt_tokens_details": details, "completion_tokens_details": parts}))]
    found += [
        parse(raw({**typed, "input_tokens_details": details, "output_tokens_details": parts})) for parse in (typed_usage, images_usage, speech_usage)
    ]
    for usage in found:
        assert usage is not None
        assert all(getattr(usage, count) >= 0 for count in COUNTS)
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (prompt, completion, total)
        assert not usage.count_mismatch


@given(fresh=st.integers(0, 2000), read=COUNT, written=COUNT, long=COUNT, output=st.integers(0, 2000), thought=COUNT)
def test_the_sum_of_a_messages_buckets_is_the_sum_of_its_parts(
    fresh: int, read: int | None, written: int | None, long: int | None, output: int, thought: int | None
) -> None:
    document = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_1h_input_tokens": long},
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thought},
    }
    usage = messages_usage(raw(document))
    assert usage is not None
    assert all(getattr(usage, count) >= 0 for count in COUNTS)
    assert usage.total_tokens == fresh + (read or 0) + (written or 0) + output
    assert usage.input_tokens == fresh


@given(total=st.integers(0, 100), prompt=st.integers(0, 40), completion=st.integers(0, 40), reasoning=st.integers(0, 40))
def test_a_total_that_fits_no_way_of_counting_is_marked(total: int, prompt: int, completion: int, reasoning: int) -> None:
    document = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    usage = chat_usage(raw({**document, "completion_tokens_details": {"reasoning_tokens": reasoning}}))
    assert usage is not None
    assert usage.count_mismatch == (usage.total_tokens != total)
    assert usage.count_mismatch == (total not in (prompt + completion, prompt + completion + reasoning))
