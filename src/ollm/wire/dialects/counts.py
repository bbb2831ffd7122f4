"""What an answer used, from one API's counting into another's.

    chat        prompt_tokens includes what was read from the cache and written to it; so do Responses' input_tokens
    messages    input_tokens, cache_read_input_tokens and cache_creation_input_tokens are disjoint

Sources: OpenAI's OpenAPI document (CompletionUsage, ResponseUsage); Anthropic's Messages API (Usage).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.values.usage import Usage
from ollm.wire.usage import chat_usage, counts_in, messages_usage, typed_usage


class Counts(msgspec.Struct, frozen=True):
    """`usage`, of whose uncached prompt tokens `written` went into the provider's cache."""

    usage: Usage
    written: int = 0


class _Written(msgspec.Struct):
    cache_write_tokens: int | None = None


class _Chat(msgspec.Struct):
    prompt_tokens_details: _Written | None = None


class _Responses(msgspec.Struct):
    input_tokens_details: _Written | None = None


class _Thinking(msgspec.Struct):
    thinking_tokens: int | None = None


class _Messages(msgspec.Struct):
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Thinking | None = None


_chat = msgspec.json.Decoder(_Chat).decode
_responses = msgspec.json.Decoder(_Responses).decode
_messages = msgspec.json.Decoder(_Messages).decode
_NO_USAGE = Usage()


def from_chat(raw: msgspec.Raw) -> Counts | None:
    """`usage` of a chat completion; None when it is none."""
    usage = chat_usage(raw)
    found = counts_in(_chat, raw)
    return None if usage is None else _counts(usage, _written(found.prompt_tokens_details if found is not None else None))


def from_responses(raw: msgspec.Raw) -> Counts | None:
    """`usage` of a response; None when it is none."""
    usage = typed_usage(raw)
    found = counts_in(_responses, raw)
    return None if usage is None else _counts(usage, _written(found.input_tokens_details if found is not None else None))


def from_messages(raw: msgspec.Raw) -> Counts | None:
    """`usage` of a message; None when it is none."""
    usage = messages_usage(raw)
    if usage is None:
        return None
    found = counts_in(_messages, raw)
    thinking = found and found.output_tokens_details and found.output_tokens_details.thinking_tokens
    if thinking:
        usage = msgspec.structs.replace(usage, reasoning_tokens=max(0, min(thinking, usage.output_tokens)))
    return _counts(usage, found.cache_creation_input_tokens if found is not None else None)


def _written(details: _Written | None) -> int | None:
    return details.cache_write_tokens if details is not None else None


def _counts(usage: Usage, written: int | None) -> Counts:
    return Counts(usage, max(0, min(written or 0, usage.input_tokens)))


def to_chat(counts: Counts) -> Mapping[str, Any]:
    """`usage` as chat completions have it."""
    usage = counts.usage
    prompt = usage.input_tokens + usage.cached_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": counts.written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def to_responses(counts: Counts) -> Mapping[str, Any]:
    """`usage` as Responses have it."""
    usage = counts.usage
    prompt = usage.input_tokens + usage.cached_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": counts.written},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": prompt + usage.output_tokens,
    }


def to_messages(counts: Counts | None) -> Mapping[str, Any]:
    """`usage` as messages have it, which demand one: zeros where the provider gave none."""
    usage = counts.usage if counts else _NO_USAGE
    written = counts.written if counts else 0
    return {
        "input_tokens": usage.input_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
