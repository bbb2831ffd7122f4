"""What an answer says that it used, in disjoint buckets. Each API counts otherwise:

    chat          prompt_tokens includes those read from the cache; completion_tokens includes the reasoning
    typed         Responses, images and audio: input_tokens includes those read from the cache; output_tokens the reasoning
    messages      Anthropic's input_tokens excludes those read from the cache and those written to it

Sources: OpenAI's OpenAPI document (CompletionUsage, ResponseUsage, ImagesResponse, TranscriptTextUsageTokens); Anthropic's Messages API (Usage).
A count that is none, or is beyond belief, makes the whole of it None: a broken meter must not break an answer.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ollm.values.usage import Usage

_MAX_TOKENS = 2**40  # a larger count is nonsense, and must not reach the ledger's integers


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Chat(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Typed(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _PromptDetails | None = None
    output_tokens_details: _CompletionDetails | None = None


class _Messages(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


_chat = msgspec.json.Decoder(_Chat).decode
_typed = msgspec.json.Decoder(_Typed).decode
_messages = msgspec.json.Decoder(_Messages).decode

Raw = msgspec.Raw | bytes
T = TypeVar("T")


def counts_in(decode: Callable[[Raw], T], raw: Raw) -> T | None:
    """What `decode` makes of `raw`; None for what is none: a broken meter must not break an answer."""
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def chat_usage(raw: Raw) -> Usage | None:
    """`usage` of chat completions, completions and embeddings."""
    counts = counts_in(_chat, raw)
    if counts is None:
        return None
    cached = counts.prompt_tokens_details and counts.prompt_tokens_details.cached_tokens
    reasoning = counts.completion_tokens_details and counts.completion_tokens_details.reasoning_tokens
    return _disjoint(counts.prompt_tokens, cached or 0, counts.completion_tokens or 0, reasoning or 0)


def typed_usage(raw: Raw) -> Usage | None:
    """`usage` of Responses, images and audio."""
    counts = counts_in(_typed, raw)
    if counts is None:
        return None
    cached = counts.input_tokens_details and counts.input_tokens_details.cached_tokens
    reasoning = counts.output_tokens_details and counts.output_tokens_details.reasoning_tokens
    return _disjoint(counts.input_tokens, cached or 0, counts.output_tokens or 0, reasoning or 0)


def messages_usage(raw: Raw) -> Usage | None:
    """`usage` of Anthropic's messages. In a stream its first half comes with message_start, the rest with message_delta."""
    counts = counts_in(_messages, raw)
    if counts is None or counts.input_tokens is None:
        return None
    cached = counts.cache_read_input_tokens or 0
    return _disjoint(counts.input_tokens + cached + (counts.cache_creation_input_tokens or 0), cached, counts.output_tokens or 0, 0)


def _disjoint(prompt: int | None, cached: int, output: int, reasoning: int) -> Usage | None:
    if prompt is None or not all(0 <= count <= _MAX_TOKENS for count in (prompt, output, cached, reasoning)):
        return None
    cached = min(cached, prompt)
    return Usage(input_tokens=prompt - cached, cached_tokens=cached, output_tokens=output, reasoning_tokens=min(reasoning, output))
