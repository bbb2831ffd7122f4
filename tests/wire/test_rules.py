"""What a contract demands of a body, byte for byte."""

import pytest

from ollm.errors import WireError
from ollm.wire.rules import BodyRules, apply

RULES = BodyRules(
    forced={"store": "false", "provider": {"zdr": "true", "data_collection": '"deny"'}},
    dropped=frozenset({"cache"}),
    refused={"plugins": "they are elsewhere"},
    tools_elsewhere="theirs:",
)
FORCED = b'"store":false,"provider":{"zdr":true,"data_collection":"deny"}}'


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"model":"m","temperature":1.0}', b'{"model":"m","temperature":1.0,' + FORCED),
        (b'{"a": 1.50e+3 , "b":"\\u00e9"}', b'{"a":1.50e+3,"b":"\\u00e9",' + FORCED),
        (b'{"store":true,"a":1}', b'{"store":false,"a":1,"provider":{"zdr":true,"data_collection":"deny"}}'),
        (b'{"st\\u006fre":true}', b"{" + FORCED),
        (
            b'{"provider":{"order":["x"],"zdr":false,"data_collection":"allow"}}',
            b'{"provider":{"order":["x"],"zdr":true,"data_collection":"deny"},"store":false}',
        ),
        (b'{"provider":null}', b'{"provider":{"zdr":true,"data_collection":"deny"},"store":false}'),
        (b'{"cache":"24h"}', b"{" + FORCED),
        (b'{"plugins":null}', b'{"plugins":null,' + FORCED),
        (b'{"tools":[{"type":"function","function":{}}]}', b'{"tools":[{"type":"function","function":{}}],' + FORCED),
        (b'{"tools":null}', b'{"tools":null,' + FORCED),
        (b'{"tools":[{}]}', b'{"tools":[{}],' + FORCED),
    ],
)
def test_forced_members_are_ours_and_all_others_the_clients(body: bytes, sent: bytes) -> None:
    assert apply(RULES, body) == sent


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"plugins":[{"id":"web"}]}', "plugins"),
        (b'{"plugins":[]}', "plugins"),
        (b'{"tools":[{"type":"function"},{"type":"theirs:web_search"}]}', "tools"),
        (b'{"tools":"theirs:web_search"}', "tools"),
        (b'{"tools":[{"type":5}]}', "tools"),
        (b'{"provider":[]}', "provider"),
        (b"[]", None),
        (b"\xff", None),
    ],
)
def test_what_can_not_be_sent_is_named(body: bytes, param: str | None) -> None:
    with pytest.raises(WireError) as refused:
        apply(RULES, body)
    assert refused.value.param == param
    assert "web_search" not in refused.value.reason


def test_without_rules_a_body_keeps_its_values() -> None:
    assert apply(BodyRules(), b'{"a":[1, 2],"b":{"c" :null}}') == b'{"a":[1, 2],"b":{"c" :null}}'


def test_a_word_is_refused_however_it_is_written() -> None:
    rules = BodyRules(refused_values={"response_format": ("url", "kept")}, refused_tools=frozenset({"mcp"}))
    for body in (b'{"response_format":"url"}', b'{"response_format":"\\u0075rl"}', b'{"tools":[{"type":"mcp"}]}'):
        with pytest.raises(WireError):
            apply(rules, body)
    assert apply(rules, b'{"response_format":"b64_json","tools":[{"type":"function"}]}')
