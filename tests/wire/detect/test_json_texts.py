"""Texts in JSON: every one is looked at, and nothing else changes by a byte."""

import base64
import json

import msgspec
import pytest

from ollm.errors import RuleBlocked, WireError
from ollm.values.rules import PromptRule
from ollm.wire.detect.json_texts import Found, found_in, is_opaque, members_rewritten, rewritten
from ollm.wire.detect.screen import Screen, screen_of

CARD = "4111111111111111"


def screen() -> Screen:
    found = screen_of([("t", PromptRule(name="c", detect="payment_card", action="mask", mask="#"))], "request")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (b'{"a": 1.0, "b":1e5 , "c":"x"}', None),
        (b'{"a":["x 4111111111111111",1.50]}', b'{"a":["x #",1.50]}'),
        (b'{"a":"4111\\u0031111\\u00311111111"}', b'{"a":"#"}'),
        (b'{"a":4111111111111111}', b'{"a":"#"}'),
        (b'{"a":0.4111111111111111,"b":-4111111111111111}', None),
        (b'{"a":"\\"4111111111111111\\n"}', b'{"a":"\\"#\\n"}'),
        (b'{"arguments":"{\\"n\\":4111111111111111,\\"f\\":1.0}"}', b'{"arguments":"{\\"n\\":\\"#\\",\\"f\\":1.0}"}'),
        (b'{"a":"{not json 4111111111111111"}', b'{"a":"{not json #"}'),
    ],
)
def test_rewritten(document: bytes, wanted: bytes | None) -> None:
    acted: set[str] = set()
    assert rewritten(document, screen(), acted) == (document if wanted is None else wanted)
    assert acted == (set() if wanted is None else {"t/c"})


def test_the_name_of_a_member_blocks() -> None:
    with pytest.raises(RuleBlocked):
        rewritten(json.dumps({"a": {CARD: 1}}).encode(), screen(), set())
    with pytest.raises(RuleBlocked):
        members_rewritten({CARD: msgspec.Raw(b"1")}, screen(), set())


def test_members_keep_their_bytes_and_some_are_skipped() -> None:
    members = {"model": msgspec.Raw(f'"{CARD}"'.encode()), "n": msgspec.Raw(b" 1.0"), "text": msgspec.Raw(f'"{CARD}"'.encode())}
    changed = members_rewritten(members, screen(), set(), skip=frozenset({"model"}))
    assert {name: bytes(value) for name, value in changed.items()} == {"model": f'"{CARD}"'.encode(), "n": b" 1.0", "text": b'"#"'}


def test_base64_is_not_text() -> None:
    data = base64.b64encode(b"picture" * 20).decode()
    assert is_opaque(f"data:image/png;base64,{CARD}", b"")
    assert is_opaque(data, b'"data"')
    assert not is_opaque(data, b'"content"')
    assert not is_opaque(f"words, and {data}", b'"data"')
    assert not is_opaque(CARD, b'"data"')


def test_places_without_texts() -> None:
    document = json.dumps({"messages": [{"content": "a"}, {"content": [{"text": f"b {CARD}"}], "x/y": json.dumps({"k": CARD})}], CARD: 1}).encode()
    assert list(found_in(document, screen())) == [
        Found("t/c", "mask", "/messages/1/content/0/text", 2, 18),
        Found("t/c", "mask", "/messages/1/x~1y/k", 0, 16),
        Found("t/c", "block", "", 0, 16),
    ]


@pytest.mark.parametrize("document", [b'{"a":"\\ud800 and more text"}', b'{"a":"\xff and more text"}'])
def test_a_string_that_is_no_text(document: bytes) -> None:
    with pytest.raises(WireError):
        rewritten(document, screen(), set())
