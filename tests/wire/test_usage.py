import json

import pytest

from ollm.values.usage import Usage
from ollm.wire.usage import chat_usage, messages_usage, typed_usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        (USAGE, Usage(input_tokens=10, output_tokens=5)),
        # OpenAI's prompt_tokens includes the cached ones, completion_tokens the reasoning
        (
            {**USAGE, "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(input_tokens=6, cached_tokens=4, output_tokens=5, reasoning_tokens=3),
        ),
        (
            {"prompt_tokens": 1_000_000, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 900_000}},
            Usage(input_tokens=100_000, cached_tokens=900_000),
        ),
        ({**USAGE, "prompt_tokens_details": None, "completion_tokens_details": {"reasoning_tokens": None}}, Usage(input_tokens=10, output_tokens=5)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(cached_tokens=3, output_tokens=1)),
        ({"prompt_tokens": 3}, Usage(input_tokens=3)),
        (None, None),
        ({}, None),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
        ({"prompt_tokens": 2**70, "completion_tokens": 1}, None),
        ({"prompt_tokens": "3"}, None),
        ({"prompt_tokens": 3.5}, None),
        ([], None),
    ],
)
def test_chat_usage_becomes_disjoint_buckets(document: object, usage: Usage | None) -> None:
    assert chat_usage(json.dumps(document).encode()) == usage


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
            },
            Usage(input_tokens=6, cached_tokens=4, output_tokens=5, reasoning_tokens=3),
        ),
        # An image: details that aren't of the cache change nothing
        (
            {"input_tokens": 8, "input_tokens_details": {"text_tokens": 3, "image_tokens": 5}, "output_tokens": 272},
            Usage(input_tokens=8, output_tokens=272),
        ),
        ({"type": "duration", "seconds": 4}, None),
        ({"input_tokens": -1}, None),
        ({"input_tokens": 2**41}, None),
        ("ten", None),
        (None, None),
    ],
)
def test_typed_usage_becomes_disjoint_buckets(document: object, usage: Usage | None) -> None:
    assert typed_usage(json.dumps(document).encode()) == usage


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(input_tokens=10, output_tokens=5)),
        # Anthropic counts what the cache gave and took beside input_tokens
        (
            {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 5},
            Usage(input_tokens=30, cached_tokens=100, output_tokens=5),
        ),
        ({"input_tokens": 10, "cache_read_input_tokens": None}, Usage(input_tokens=10)),
        ({"output_tokens": 5}, None),
        ({"input_tokens": 2**41, "output_tokens": 5}, None),
        ({"input_tokens": "10"}, None),
        ([], None),
    ],
)
def test_messages_usage_becomes_disjoint_buckets(document: object, usage: Usage | None) -> None:
    assert messages_usage(json.dumps(document).encode()) == usage
