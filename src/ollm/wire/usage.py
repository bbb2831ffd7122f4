"""What an answer says that it used, in disjoint buckets. Each API counts otherwise:

    chat          prompt_tokens includes those read from the cache, written to it, heard and seen; completion_tokens the reasoning
    typed         Responses and transcriptions: input_tokens and output_tokens likewise; whisper and its like give seconds instead
    images        as typed; what of the output isn't told apart is picture
    speech        as typed; what of the output isn't told apart is audio
    messages      Anthropic's input_tokens excludes those read from the cache and those written to it; output_tokens includes thinking

Where an API doesn't say how parts overlap (how many of the cached tokens were pictures), each token is counted in the first part that can
have it: cached, written, audio, picture, then text; of the output reasoning, audio, picture, then text. So no part is ever negative, and
the sum is the provider's own. Some count the reasoning on top of completion_tokens: their total shows it. A total that fits neither way
is marked (`Usage.count_mismatch`).

Sources: OpenAI's OpenAPI document (CompletionUsage, ResponseUsage, ImagesResponse, TranscriptTextUsageTokens, TranscriptTextUsageDuration);
Anthropic's Messages API (Usage). A count that is none, or is beyond belief, makes the whole of it None: a broken meter must not break an
answer.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import msgspec

from ollm.values.usage import Tier, Usage

_MAX_TOKENS = 2**40  # a larger count is nonsense, and must not reach the ledger's integers
_MAX_SECONDS = 2**32 / 1000  # 49 days of audio
_MAX_IMAGES = 2**20

# How providers spell tiers. `on_demand` is Groq's word for having none; `auto` is what was asked for, and names none that served.
_TIERS: dict[str, Tier | None] = {
    "default": "default",
    "auto": None,
    "on_demand": "default",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
    "scale": "scale",
    "fast": "fast",
    "batch": "batch",
}


class _Details(msgspec.Struct):
    """Of the prompt."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _ChatAlone(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _TypedAlone(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    seconds: float | None = None


class _Chat(_ChatAlone):
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Typed(_TypedAlone):
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None  # as transcriptions spell it
    output_tokens_details: _OutputDetails | None = None


class _Creation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _Thinking(msgspec.Struct):
    thinking_tokens: int | None = None


class _Messages(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: msgspec.Raw = msgspec.Raw(b"null")
    output_tokens_details: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")


_chat = msgspec.json.Decoder(_Chat).decode
_typed = msgspec.json.Decoder(_Typed).decode
_chat_alone = msgspec.json.Decoder(_ChatAlone).decode
_typed_alone = msgspec.json.Decoder(_TypedAlone).decode
_messages = msgspec.json.Decoder(_Messages).decode
_creation = msgspec.json.Decoder(_Creation | None).decode
_thinking = msgspec.json.Decoder(_Thinking | None).decode
_text = msgspec.json.Decoder(str | None).decode
_number = msgspec.json.Decoder(float).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NO_DETAILS = _Details()
_NO_OUTPUT_DETAILS = _OutputDetails()

Raw = msgspec.Raw | bytes
T = TypeVar("T")


def counts_in(decode: Callable[[Raw], T], raw: Raw) -> T | None:
    """What `decode` makes of `raw`; None for what is none: a broken meter must not break an answer."""
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _but_details(alone: msgspec.Struct | None, kind: type[T]) -> T | None:
    """Counts whose details can't be read, without these: a broken detail doesn't break the count."""
    return None if alone is None else kind(**msgspec.structs.asdict(alone))


def tier_of(raw: Raw | None) -> Tier | None:
    """The tier that a `service_tier` names; None where it names none. A word that isn't known is `other`: it isn't kept."""
    if raw is None:
        return None
    word = counts_in(_text, raw)
    return None if word is None else _TIERS.get(word, "other")


def chat_usage(raw: Raw, tier: Tier | None = None) -> Usage | None:
    """`usage` of chat completions, completions, embeddings and rerank. The last may have nothing but a total: all of it is prompt."""
    counts = counts_in(_chat, raw) or _but_details(counts_in(_chat_alone, raw), _Chat)
    if counts is None:
        return None
    prompt = counts.prompt_tokens
    if prompt is None and counts.completion_tokens is None:
        prompt = counts.total_tokens
    details = counts.prompt_tokens_details or _NO_DETAILS
    parts = counts.completion_tokens_details or _NO_OUTPUT_DETAILS
    return _disjoint(prompt, counts.completion_tokens or 0, counts.total_tokens, details, parts, tier)


def typed_usage(raw: Raw, tier: Tier | None = None) -> Usage | None:
    """`usage` of Responses and transcriptions."""
    counts = counts_in(_typed, raw) or _but_details(counts_in(_typed_alone, raw), _Typed)
    if counts is None:
        return None
    if counts.input_tokens is None and counts.seconds is not None:
        return _heard(counts.seconds, tier)
    details = counts.input_tokens_details or counts.input_token_details or _NO_DETAILS
    parts = counts.output_tokens_details or _NO_OUTPUT_DETAILS
    return _disjoint(counts.input_tokens, counts.output_tokens or 0, counts.total_tokens, details, parts, tier)


def images_usage(raw: Raw, tier: Tier | None = None) -> Usage | None:
    """`usage` of images: its output is pictures unless it says otherwise."""
    usage = typed_usage(raw, tier)
    if usage is None or usage.image_output_tokens:
        return usage
    return msgspec.structs.replace(usage, output_tokens=0, image_output_tokens=usage.output_tokens)


def speech_usage(raw: Raw, tier: Tier | None = None) -> Usage | None:
    """`usage` of speech: its output is audio."""
    usage = typed_usage(raw, tier)
    if usage is None or usage.audio_output_tokens:
        return usage
    return msgspec.structs.replace(usage, output_tokens=0, audio_output_tokens=usage.output_tokens)


def messages_usage(raw: Raw, tier: Tier | None = None) -> Usage | None:
    """`usage` of Anthropic's messages. In a stream its first half comes with message_start, the rest with message_delta."""
    counts = counts_in(_messages, raw)
    if counts is None or counts.input_tokens is None:
        return None
    created = counts_in(_creation, counts.cache_creation)
    thought = counts_in(_thinking, counts.output_tokens_details)
    cached, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
    long = max(0, min(created.ephemeral_1h_input_tokens or 0, written)) if created is not None else 0
    reasoning = max(0, min(thought.thinking_tokens or 0, counts.output_tokens or 0)) if thought is not None else 0
    usage = _disjoint(
        counts.input_tokens + cached + written,
        counts.output_tokens or 0,
        None,
        _Details(cached, written),
        _OutputDetails(reasoning),
        tier_of(counts.service_tier) or tier,
    )
    if usage is None or not long or counts.input_tokens < 0:
        return usage if usage is None or counts.input_tokens >= 0 else None
    return msgspec.structs.replace(usage, cache_write_tokens=usage.cache_write_tokens - long, cache_write_long_tokens=long)


def duration_usage(raw: Raw | None, tier: Tier | None = None) -> Usage | None:
    """`duration` of a transcription that has no `usage`: seconds of audio."""
    seconds = counts_in(_number, raw) if raw is not None else None
    return _heard(seconds, tier) if seconds is not None else None


def pictures_in(raw: Raw | None) -> int:
    """How many pictures `data` of an answer has."""
    found = counts_in(_list, raw) if raw is not None else None
    return min(len(found), _MAX_IMAGES) if found is not None else 0


def _heard(seconds: float, tier: Tier | None) -> Usage | None:
    if not 0 <= seconds <= _MAX_SECONDS:
        return None
    return Usage(audio_ms=math.ceil(seconds * 1000), tier=tier)


def _disjoint(prompt: int | None, output: int, total: int | None, details: _Details, parts: _OutputDetails, tier: Tier | None) -> Usage | None:
    if prompt is None:
        return None
    cached, written = details.cached_tokens or 0, details.cache_write_tokens or 0
    heard, seen = details.audio_tokens or 0, details.image_tokens or 0
    reasoning, spoken, drawn = parts.reasoning_tokens or 0, parts.audio_tokens or 0, parts.image_tokens or 0
    counts = (prompt, output, total or 0, cached, written, heard, seen, reasoning, spoken, drawn)
    if min(counts) < 0 or max(counts) > _MAX_TOKENS:
        return None
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # counted on top
    mismatch = total is not None and total != prompt + output
    if max(counts[3:]) == 0:  # nothing to take apart, as in most answers
        return Usage(input_tokens=prompt, output_tokens=output, count_mismatch=mismatch, tier=tier)
    cached, prompt = _taken(cached, prompt)
    written, prompt = _taken(written, prompt)
    heard, prompt = _taken(heard, prompt)
    seen, prompt = _taken(seen, prompt)
    reasoning, output = _taken(reasoning, output)
    spoken, output = _taken(spoken, output)
    drawn, output = _taken(drawn, output)
    return Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        cache_write_tokens=written,
        audio_input_tokens=heard,
        image_input_tokens=seen,
        output_tokens=output,
        reasoning_tokens=reasoning,
        audio_output_tokens=spoken,
        image_output_tokens=drawn,
        count_mismatch=mismatch,
        tier=tier,
    )


def _taken(part: int, rest: int) -> tuple[int, int]:
    """As much of `part` as `rest` has, and what is left of it."""
    part = min(part, rest)
    return part, rest - part
