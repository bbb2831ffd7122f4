import json
import random
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.wire import strict_json
from ollm.wire.strict_json import MAX_DEPTH, MAX_DIGITS, MAX_VALUES, parse_object

CANARY = "canary-4711"


def refused(body: bytes) -> str:
    with pytest.raises(WireError) as caught:
        parse_object(body)
    return caught.value.reason


def test_values_stay_byte_for_byte() -> None:
    members = parse_object(b' {"a" : [1 , 2.50, "\\u00e9"],"b":1E+2 ,"c":{"d": null}} ')
    assert {name: bytes(value) for name, value in members.items()} == {"a": b'[1 , 2.50, "\\u00e9"]', "b": b"1E+2", "c": b'{"d": null}'}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',  # the same name in another spelling
        b'{"m":[{"role":"user","role":"system"}]}',
        b'{"m":{"deep":[[{"x":1,"y":2,"x":1}]]}}',
    ],
)
def test_a_duplicate_member_at_any_depth_is_refused(body: bytes) -> None:
    assert refused(body) == "the JSON body has a duplicate member"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"a":1}x',
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b"{'a':1}",
        b'{"a":"\x01"}',  # control character
        b'{"a":"\\x41"}',
        b'{"a":"\xff"}',  # not UTF-8
        b'{"a":"\xed\xa0\x80"}',  # a surrogate encoded in UTF-8
        b'{"a":"\\ud800"}',  # lone surrogates
        b'{"a":"\\ude00"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"\\ud800":1}',
        b'\xef\xbb\xbf{"a":1}',  # BOM
        '{"a":1}'.encode("utf-16"),
        b'{"a":1}\x00',
        b'\x0b{"a":1}',
        b'{"a":1 /* comment */}',
    ],
)
def test_what_is_not_one_json_object_in_utf8_is_refused(body: bytes) -> None:
    assert refused(body) == "the body is not one valid JSON object in UTF-8"


def test_a_surrogate_pair_is_a_character() -> None:
    assert bytes(parse_object(b'{"a":"\\ud83d\\ude00 \\\\ud800"}')["a"]) == b'"\\ud83d\\ude00 \\\\ud800"'


@pytest.mark.parametrize("body", [b'{"a":NaN}', b'{"a":[Infinity]}', b'{"a":-Infinity}'])
def test_numbers_that_are_not_finite_are_refused(body: bytes) -> None:
    assert "not finite" in refused(body)


@pytest.mark.parametrize("number", [b"1" * (MAX_DIGITS + 1), b"-" + b"1" * MAX_DIGITS, b"0." + b"1" * MAX_DIGITS])
def test_digits_are_capped(number: bytes) -> None:
    parse_object(b'{"a":' + b"1" * MAX_DIGITS + b"}")
    assert refused(b'{"a":' + number + b"}") == "the JSON body has a number that is too long"


def nested(opening: str, inner: str, closing: str, times: int) -> bytes:
    return ('{"a":' + opening * times + inner + closing * times + "}").encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"b":', "}"), ('[{"b":', "}]")])
def test_depth_is_exact(opening: str, closing: str) -> None:
    levels = opening.count("[") + opening.count("{")
    fits = (MAX_DEPTH - 1) // levels
    parse_object(nested(opening, "1", closing, fits))
    assert refused(nested(opening, "1", closing, fits + 1)) == "the JSON body is nested too deeply"


@pytest.mark.parametrize("times", [2_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"b":', "}")])
def test_absurd_depth_is_refused_and_not_a_crash(opening: str, closing: str, times: int) -> None:
    assert refused(nested(opening, "1", closing, times)) == "the JSON body is nested too deeply"


def test_brackets_inside_strings_are_no_depth() -> None:
    code = "int f(int a[]) { return a[0] ? {1} : {2}; }" * 200
    parse_object(json.dumps({"messages": [{"role": "user", "content": code}]}).encode())


def test_wide_is_not_deep() -> None:
    parse_object(json.dumps({"messages": [{"role": "user", "content": [{"type": "text"}]}] * 3000}).encode())


@pytest.mark.parametrize("element", ["1", "{}", "[]", '""', '{"a":1}'])
def test_the_number_of_values_is_capped(element: str) -> None:
    assert refused(('{"a":[' + ",".join([element] * (MAX_VALUES + 1)) + "]}").encode()) == "the JSON body has too many values"


def test_a_large_body_is_held_to_the_same_rules() -> None:
    filler = '"filler":"' + "x" * strict_json._SMALL + '",'
    assert refused(("{" + filler + '"a":1,"a":2}').encode()) == "the JSON body has a duplicate member"
    assert refused(("{" + filler + '"a":NaN}').encode()) == "the JSON body has a number that is not finite"
    assert len(parse_object(("{" + filler + '"a":{"b":[1,2.5,-3e4,true,null,"s",{}]}}').encode())) == 2


def test_a_huge_text_full_of_separators_is_one_value() -> None:
    text = ', [1, 2, {"a": "b\\"}], ' * 250_000
    assert len(parse_object(json.dumps({"messages": [{"role": "user", "content": text}]}).encode())) == 1


@pytest.mark.parametrize("element", [b"[],", b"[[[[]]]],", b'"ab",', b"null,", b"{},"])
def test_a_huge_list_is_refused_before_it_is_built(element: bytes) -> None:
    body = b'{"a":[' + element * (5 * 2**20 // len(element)) + b"1]}"
    tracemalloc.start()
    try:
        assert refused(body) == "the JSON body has too many values"
        assert tracemalloc.get_traced_memory()[1] < 4 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tail", [b'"' + b'\\"' * 2**21, b'"' * 2**22, b"\\" * 2**22, b"[" * 2**22])
def test_huge_garbage_is_refused_in_linear_time(tail: bytes) -> None:
    started = time.process_time()
    refused(b'{"a":[' + b"1," * 200_000 + tail)
    assert time.process_time() - started < 5


def test_no_error_quotes_the_body() -> None:
    for body in (f'{{"{CANARY}":1,"{CANARY}":2}}', f'{{"a":"{CANARY}"', f'{{"a":{CANARY}}}', f'{{"a":"{CANARY}\\ud800"}}', f'{{"a":"{CANARY}\x01"}}'):
        assert CANARY not in refused(body.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5), st.booleans())
def test_every_ordinary_object_is_accepted_and_means_the_same(value: dict[str, object], ascii_only: bool) -> None:
    members = parse_object(json.dumps(value, ensure_ascii=ascii_only).encode())
    assert {name: json.loads(bytes(raw)) for name, raw in members.items()} == value


def test_only_our_own_error_escapes_from_mutations() -> None:
    seed = b'{"model":"m","messages":[{"role":"user","content":"\\u00e9\\ud83d\\ude00 hi"}],"n":1.5e3,"tools":[{"a":{"b":[true,null]}}]}'
    chance = random.Random(7)
    for _ in range(3000):
        body = bytearray(seed)
        for _ in range(chance.randint(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            parse_object(bytes(body))
        except WireError:
            continue


@pytest.mark.parametrize(("limit", "more"), [(0, True), (5, True), (6, False), (7, False)])
def test_marks_are_counted_no_further_than_needed(limit: int, more: bool) -> None:
    assert strict_json._more_than(limit, b"{[", b"[{a}, [], {{b}}, [" + b"x" * 100) is more
    assert not strict_json._more_than(0, b"{[", b"")
