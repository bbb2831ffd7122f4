import json

import msgspec
import pytest

from ollm.values.usage import Usage
from ollm.wire.dialects.counts import Counts, from_chat, from_messages, from_responses, to_chat, to_messages, to_responses

COUNTS = Counts(Usage(input_tokens=60, cached_tokens=40, output_tokens=30, reasoning_tokens=12), written=10)
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
    assert from_chat(raw(CHAT)) == from_responses(raw(RESPONSES)) == from_messages(raw(MESSAGES)) == COUNTS
    assert (to_chat(COUNTS), to_responses(COUNTS), to_messages(COUNTS)) == (CHAT, RESPONSES, MESSAGES)


def test_plain_counts() -> None:
    plain = Counts(Usage(input_tokens=2, output_tokens=1))
    assert from_chat(raw({"prompt_tokens": 2, "completion_tokens": 1, "prompt_tokens_details": None})) == plain
    assert from_responses(raw({"input_tokens": 2, "output_tokens": 1})) == plain
    assert from_messages(raw({"input_tokens": 2, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 0}})) == plain


def test_a_message_must_have_counts() -> None:
    assert set(to_messages(None)) == set(MESSAGES) and to_messages(None)["output_tokens"] == 0


@pytest.mark.parametrize("bad", [{}, [], "x", {"prompt_tokens": -1}, {"input_tokens": "canary"}, {"input_tokens": 2**50}])
def test_what_is_no_count_is_none(bad: object) -> None:
    assert from_chat(raw(bad)) is None and from_responses(raw(bad)) is None and from_messages(raw(bad)) is None


def test_a_broken_detail_does_not_break_the_count() -> None:
    assert from_chat(raw({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": "x"}})) == Counts(
        Usage(input_tokens=5, output_tokens=1)
    )
    assert from_chat(raw({"prompt_tokens": 5, "prompt_tokens_details": {"cache_write_tokens": 99}})) == Counts(Usage(input_tokens=5), written=5)
    assert from_messages(raw({"input_tokens": 5, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 99}})) == Counts(
        Usage(input_tokens=5, output_tokens=3, reasoning_tokens=3)
    )
    assert from_messages(raw({"input_tokens": 5, "output_tokens_details": "x"})) == Counts(Usage(input_tokens=5))
