"""What an answer used, told in each API's own counting.

    chat        prompt_tokens includes what was read from the cache and written to it; so do Responses' input_tokens
    messages    input_tokens, cache_read_input_tokens and cache_creation_input_tokens are disjoint

Sources: OpenAI's OpenAPI document (CompletionUsage, ResponseUsage); Anthropic's Messages API (Usage).
"""

from collections.abc import Mapping
from typing import Any

from ollm.values.usage import Usage

_NO_USAGE = Usage()


def _written(usage: Usage) -> int:
    return usage.cache_write_tokens + usage.cache_write_long_tokens


def to_chat(usage: Usage) -> Mapping[str, Any]:
    """`usage` as chat completions have it."""
    heard = {"audio_tokens": usage.audio_input_tokens, "image_tokens": usage.image_input_tokens}
    spoken = {"audio_tokens": usage.audio_output_tokens, "image_tokens": usage.image_output_tokens}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": _written(usage)} | _there(heard),
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens} | _there(spoken),
    }


def _there(parts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in parts.items() if count}


def to_responses(usage: Usage) -> Mapping[str, Any]:
    """`usage` as Responses have it."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": _written(usage)},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def to_messages(usage: Usage | None) -> Mapping[str, Any]:
    """`usage` as messages have it, which demand one: zeros where the provider gave none."""
    usage = usage or _NO_USAGE
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - _written(usage),
        "cache_creation_input_tokens": _written(usage),
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
