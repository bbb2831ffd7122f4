import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ollm.values.usage import TOKEN_BUCKETS, Usage
from ollm.wire.dialects.counts import to_chat, to_messages, to_responses
from ollm.wire.usage import chat_usage, messages_usage, typed_usage

COUNTS = Usage(input_tokens=50, cached_tokens=40, cache_write_tokens=10, output_tokens=18, reasoning_tokens=12)
CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 130,
}
MESSAGES = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 10,
    "cache_read_input_tokens": 40,
    "output_tokens": 30,
    "output_tokens_details": {"thinking_tokens": 12},
}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_each_api_counts_the_same_in_its_own_way() -> None:
    assert chat_usage(raw(CHAT)) == typed_usage(raw(RESPONSES)) == messages_usage(raw(MESSAGES)) == COUNTS
    assert (to_chat(COUNTS), to_responses(COUNTS), to_messages(COUNTS)) == (CHAT, RESPONSES, MESSAGES)


def test_a_message_must_have_counts() -> None:
    assert set(to_messages(None)) == set(MESSAGES) and to_messages(None)["output_tokens"] == 0


def test_sound_and_pictures_are_told_where_the_api_has_a_place_for_them() -> None:
    usage = Usage(input_tokens=1, audio_input_tokens=2, image_input_tokens=3, output_tokens=4, audio_output_tokens=5, image_output_tokens=6)
    told = to_chat(usage)
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (6, 15, 21)
    assert told["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 2, "image_tokens": 3}
    assert told["completion_tokens_details"] == {"reasoning_tokens": 0, "audio_tokens": 5, "image_tokens": 6}
    assert chat_usage(raw(told)) == usage
    assert (to_messages(usage)["input_tokens"], to_responses(usage)["input_tokens"]) == (6, 6)


def test_what_was_written_for_an_hour_is_written() -> None:
    usage = Usage(input_tokens=1, cache_write_tokens=2, cache_write_long_tokens=3)
    assert to_messages(usage)["cache_creation_input_tokens"] == 5
    assert to_chat(usage)["prompt_tokens_details"]["cache_write_tokens"] == 5


@given(counts=st.lists(st.integers(0, 10**9), min_size=10, max_size=10))
def test_what_is_told_adds_up_to_what_was_used(counts: list[int]) -> None:
    usage = Usage(**dict(zip(TOKEN_BUCKETS, counts, strict=True)))  # type: ignore[arg-type]
    chat, responses, messages = to_chat(usage), to_responses(usage), to_messages(usage)
    assert chat["total_tokens"] == responses["total_tokens"] == usage.total_tokens == sum(counts)
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    assert sum(messages[part] for part in parts) == usage.total_tokens
