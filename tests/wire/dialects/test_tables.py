"""Every line of the tables: what docs/reference/dialects.md says becomes of a member is what becomes of it."""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from ollm.errors import WireError
from ollm.wire.dialects import DIALECTS, SIDES
from ollm.wire.dialects.fields import Carried, Dropped, Refused
from tests.wire.dialects.damage import damaged
from tests.wire.dialects.examples import BASES, EXAMPLES, MARK
from tests.wire.dialects.requests import parsed


def test_every_writer_knows_what_every_reader_carries() -> None:
    carried = {rule.what for side in SIDES.values() for rule in side.reads.values() if isinstance(rule, Carried)}
    for side in SIDES.values():
        assert set(side.writes) >= carried
        assert set(side.writes) - carried <= {"image_url"}


def test_every_line_has_an_example() -> None:
    for name, side in SIDES.items():
        assert set(EXAMPLES[name]) == set(side.reads)


# What the SDKs say that a request is: strict about kinds and names of parts, and what must be there.
PARAMETERS: dict[str, TypeAdapter[Any]] = {
    "chat.completions": TypeAdapter(CompletionCreateParamsNonStreaming),
    "messages": TypeAdapter(MessageCreateParamsNonStreaming),
    "responses": TypeAdapter(ResponseCreateParamsNonStreaming),
}
LINES = [pytest.param(*pair, member, id="-".join((*pair, member))) for pair in DIALECTS for member in SIDES[pair[0]].reads]


def drained(value: Any) -> Any:
    """Lists are validated only as they are read."""
    if isinstance(value, dict):
        return {name: drained(each) for name, each in value.items()}
    return [drained(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def request(asked: str, spoken: str, example: dict[str, Any]) -> bytes:
    members = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in (BASES[asked] | example).items() if value is not None}
    return DIALECTS[asked, spoken].request(members, "up/m", stream=bool(example.get("stream")))


@pytest.mark.parametrize(("asked", "spoken", "member"), LINES)
def test_a_member_becomes_what_the_table_says(asked: str, spoken: str, member: str) -> None:
    example = EXAMPLES[asked][member]
    rule = SIDES[asked].reads[member]
    if isinstance(rule, Carried):
        rule = SIDES[spoken].writes[rule.what]
    if isinstance(rule, Refused):
        with pytest.raises(WireError) as caught:
            request(asked, spoken, example)
        assert caught.value.param is not None and MARK not in str(caught.value)
        assert re.sub(r"\[\d+\]", "", caught.value.param).startswith(re.sub(r"\[\w+\]", "", member))
        return
    body = request(asked, spoken, example).decode()
    whole = json.loads(body)
    drained(PARAMETERS[spoken].validate_python({name: value for name, value in whole.items() if name not in {"stream", "stream_options"}}))
    if isinstance(rule, Dropped):
        assert MARK not in body and "987654" not in body
    else:
        first = rule.what.replace("[]", "").split(".")[0]
        assert not first or first in whole
        if MARK in json.dumps(example):
            assert MARK in body


@pytest.mark.parametrize(("asked", "spoken"), sorted(DIALECTS))
def test_a_member_that_no_table_has_is_refused_without_being_repeated(asked: str, spoken: str) -> None:
    with pytest.raises(WireError) as caught:
        request(asked, spoken, {"canary": 1})
    assert caught.value.param is None and "canary" not in str(caught.value)


@pytest.mark.parametrize(("asked", "spoken"), sorted(DIALECTS))
@given(data=st.data())
def test_a_damaged_request_is_a_wire_error_or_a_request(asked: str, spoken: str, data: st.DataObject) -> None:
    example = EXAMPLES[asked][data.draw(st.sampled_from(sorted(EXAMPLES[asked])))]
    members = json.dumps(damaged(BASES[asked] | example, data)).encode()
    refused = ""
    try:
        made = DIALECTS[asked, spoken].request(parsed(members), "up/m", stream=False)
    except WireError as error:
        made, refused = b"{}", f"{error} {error.param}"
    assert isinstance(json.loads(made), dict) and "canary" not in refused
