"""Fields of JSON: what is sealed, what may pass, what is refused, and that all else stays byte for byte."""

import json
from typing import Any

import pytest

from ollm.seal.fields import (
    TEXT,
    WHOLE,
    AnswerWalk,
    RequestSealer,
    Rule,
    answer_members,
    each,
    json_of,
    reads_as_array,
    request_members,
    string_member,
    text_of,
    within,
)
from tests.seal.peers import code_of

CONTENT = Rule(text=True, whole=True)
CHOICES = within({"choices": each(within({"text": TEXT}), indexed=True)})


def sealed(body: str | bytes, rule: Rule, *, strict: bool = False) -> str:
    """`body` with each sealed field shown as `path=plaintext`."""
    sealer = RequestSealer(lambda path, plaintext: f"{path}={plaintext.decode()}", strict=strict)
    return sealer.body(request_members(body.encode() if isinstance(body, str) else body), rule).decode()


def opened(body: str | bytes, rule: Rule) -> str:
    """`body` with the sealing that `sealed` shows taken off."""

    def open_field(path: str, blob: str) -> bytes:
        assert blob.startswith(path + "=")
        return blob.removeprefix(path + "=").encode()

    return AnswerWalk(open_field).body(answer_members(body.encode() if isinstance(body, str) else body), rule).decode()


# --- requests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rule", "out"),
    [
        ('"hello"', TEXT, '"f=hello"'),
        (r'"a\nb\u00e9"', TEXT, '"f=a\\nbé"'),
        ('"hello"', CONTENT, '"f=hello"'),
        ('[{"type": "text"}]', CONTENT, r'"f=[{\"type\": \"text\"}]"'),
        ('{"type" :1}', WHOLE, r'"f={\"type\" :1}"'),
        ('"text"', WHOLE, r'"f=\"text\""'),
        ("0.10", WHOLE, '"f=0.10"'),
        ('["a","b"]', each(TEXT), '["f.0=a","f.1=b"]'),
        ('{"name":"n","other": 1}', within({"name": TEXT}), '{"name":"f.name=n","other":1}'),
    ],
)
def test_what_is_sealed(value: str, rule: Rule, out: str) -> None:
    assert sealed(f'{{"f":{value}}}', within({"f": rule})) == f'{{"f":{out}}}'


def test_what_no_rule_names_passes_byte_for_byte() -> None:
    body = '{"f":"x","n":1.50e+3,"big":123456789012345678901234567890,"o": { "é" : [ 1 , null ] },"s":"\\u00e9\\/"}'
    assert sealed(body, within({"f": TEXT})) == body.replace('"x"', '"f=x"').replace('"o": {', '"o":{')


@pytest.mark.parametrize("value", ["null", '""'])
def test_nothing_is_not_sealed(value: str) -> None:
    body = f'{{"g":"x","f":{value}}}'
    assert sealed(body, within({"f": CONTENT, "g": TEXT})) == body.replace('"x"', '"g=x"')


@pytest.mark.parametrize("value", ["1", "true", "[1]", "{}", '["x"]'])
def test_a_value_of_a_type_that_the_rule_does_not_name_is_refused(value: str) -> None:
    assert code_of(lambda: sealed(f'{{"f":{value}}}', within({"f": TEXT}))) == "INVALID_INPUT"


@pytest.mark.parametrize("value", ['"text"', "1", "{}"])
def test_an_array_is_due(value: str) -> None:
    assert code_of(lambda: sealed(f'{{"f":{value}}}', within({"f": each(TEXT)}))) == "INVALID_INPUT"


def test_a_request_without_anything_to_seal_is_refused() -> None:
    assert code_of(lambda: sealed('{"f":""}', within({"f": TEXT}))) == "INVALID_INPUT"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"f":', b'{"f":"\xff"}', b'{"f":"\\ud800"}', b'{"f":' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert code_of(lambda: sealed(body, within({"f": CONTENT}))) == "INVALID_INPUT"


def test_of_a_duplicate_member_only_the_one_that_was_sealed_is_sent() -> None:
    assert sealed('{"f":"one","f":"two"}', within({"f": TEXT})) == '{"f":"f=two"}'
    assert sealed('{"f":{"n":"one","n":"two"}}', within({"f": within({"n": TEXT})})) == '{"f":{"n":"f.n=two"}}'


class TestStrict:
    """What a strict request may leave in the clear."""

    RULE = within(
        {"f": TEXT, "choice": Rule(words=frozenset({"auto"}), members={"name": TEXT}), "ids": each(Rule(text=True, tokens=True))}, "model n"
    )

    @pytest.mark.parametrize("member", ['"model":"m"', '"n":1', '"choice":"auto"', '"choice":{"name":"x"}', '"ids":["x"]'])
    def test_passes(self, member: str) -> None:
        assert sealed(f'{{"f":"x",{member}}}', self.RULE, strict=True)

    @pytest.mark.parametrize(
        "member", ['"metadata":{}', '"Model":"m"', '"choice":"others"', '"choice":{"name":"x","type":1}', '"ids":[1]', '"ids":[[1,2]]']
    )
    def test_is_refused(self, member: str) -> None:
        body = f'{{"f":"x",{member}}}'
        assert code_of(lambda: sealed(body, self.RULE, strict=True)) == "UNSEALABLE_CONTENT"
        assert member in sealed(body, self.RULE).replace('name":"choice.name=', 'name":"')

    def test_an_object_is_no_token_id(self) -> None:
        assert code_of(lambda: sealed('{"ids":[{}]}', self.RULE)) == "INVALID_INPUT"


@pytest.mark.parametrize("text", ['["a"]', " [] ", '[{"type":"image_url"}]', "[1, 2]"])
def test_a_prompt_that_reads_as_a_list_goes_as_one_part(text: str) -> None:
    """Receivers parse what they opened, and take a JSON array for content parts."""
    assert reads_as_array(text)
    inner = json.loads(sealed(json.dumps({"f": text}), within({"f": CONTENT})))["f"].removeprefix("f=")
    assert json.loads(inner) == [{"type": "text", "text": text}]


@pytest.mark.parametrize("text", ["[", "[x]", "[a](b)", '{"a":1}', "see [1]", "[1], [2]", "[" * 5000 + "]" * 5000])
def test_a_prompt_that_does_not_is_left(text: str) -> None:
    assert not reads_as_array(text)
    assert json.loads(sealed(json.dumps({"f": text}), within({"f": CONTENT})))["f"] == "f=" + text


# --- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rule", "out"),
    [
        ('"f=hello"', TEXT, '"hello"'),
        ('"f=\\"a\\"\\n"', TEXT, r'"\"a\"\n"'),
        ('"f=[0.10,2]"', WHOLE, "[0.10,2]"),
        ('["f.0=a"]', each(TEXT), '["a"]'),
        ('{"name":"f.name=n","other": 1}', within({"name": TEXT}), '{"name":"n","other":1}'),
        ("null", TEXT, "null"),
        ('""', WHOLE, '""'),
    ],
)
def test_what_is_opened(value: str, rule: Rule, out: str) -> None:
    assert opened(f'{{"f":{value},"x": 1.0}}', within({"f": rule})) == f'{{"f":{out},"x":1.0}}'


@pytest.mark.parametrize(("value", "rule"), [("1", TEXT), ("true", WHOLE), ("[1]", WHOLE), ("{}", TEXT), ('["x"]', TEXT), ("{}", each(TEXT))])
def test_another_type_where_ciphertext_is_due_is_plaintext(value: str, rule: Rule) -> None:
    assert code_of(lambda: opened(f'{{"f":{value}}}', within({"f": rule}))) == "PLAINTEXT_ANSWER"


def test_a_string_where_an_object_is_due_is_refused() -> None:
    assert code_of(lambda: opened('{"f":"text"}', within({"f": within({"n": TEXT})}))) == "MALFORMED_ANSWER"


def test_of_a_duplicate_member_only_the_one_that_was_opened_is_handed_on() -> None:
    assert opened('{"f":{"n":"PLAIN","n":"f.n=x"}}', within({"f": within({"n": TEXT})})) == '{"f":{"n":"x"}}'


@pytest.mark.parametrize(
    ("index", "place"),
    [
        ('"index":3,', 3),
        ('"index":18446744073709551615,', 18446744073709551615),
        ("", 1),
        ('"index":null,', 1),
        ('"index":"3",', 1),
        ('"index":-1,', 1),
        ('"index":3.0,', 1),
        ('"index":18446744073709551616,', 1),
        ('"index":' + "9" * 400 + ",", 1),
    ],
)
def test_an_items_place_is_its_index(index: str, place: int) -> None:
    body = f'{{"choices":[null,{{{index}"text":"choices.{place}.text=x"}}]}}'
    assert json.loads(opened(body, CHOICES))["choices"][1]["text"] == "x"


@pytest.mark.parametrize("item", ['"x"', "1", "[]", '{"index":1,"text":"\\x"}'])
def test_an_item_that_is_no_object_is_refused(item: str) -> None:
    assert code_of(lambda: opened(f'{{"choices":[{item}]}}', CHOICES)) in {"PLAINTEXT_ANSWER", "MALFORMED_ANSWER"}


# --- values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plaintext", [b"", b"1 2", b'{"a":1},"b":2', b'"\xff"', b"nope", b"[" * 5000])
def test_what_opens_to_no_json_is_refused(plaintext: bytes) -> None:
    assert code_of(lambda: json_of(plaintext)) == "MALFORMED_ANSWER"


def test_what_opens_to_json_stays_as_it_was_sealed() -> None:
    assert bytes(json_of(b'{"a": 1.50}')) == b'{"a": 1.50}'


def test_text_is_utf_8() -> None:
    assert text_of("é".encode()) == "é"
    assert code_of(lambda: text_of(b"\xff")) == "MALFORMED_ANSWER"


@pytest.mark.parametrize(("body", "value"), [(b'{"id":"x"}', "x"), (b"{}", None), (b'{"id":1}', None), (b'{"id":"\xff"}', None)])
def test_a_member_that_is_a_string(body: bytes, value: Any) -> None:
    assert string_member(answer_members(body), "id") == value
