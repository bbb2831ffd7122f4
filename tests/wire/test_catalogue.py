"""Providers' lists: what is read of them, exactly, and what is not believed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.config.load import check_name
from ollm.errors import WireError
from ollm.wire import catalogue
from ollm.wire.catalogue import Form, Offer, Rates, Unit, read

TOKEN = Form(rates=(Rates("token", "pricing.prompt", "pricing.completion", "pricing.input_cache_read"),))


def body(*entries: Any, **more: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries, **more}).encode()


def one(form: Form, entry: Any) -> Offer:
    (offer,) = read(form, body(entry)).offers
    return offer


def rate(unit: Unit, text: str) -> int | None:
    """The price that `text`, a JSON value, comes to."""
    form = Form(rates=(Rates(unit, "p", "q"),))
    (offer,) = read(form, b'{"data":[{"id":"m","p":' + text.encode() + b',"q":"0"}]}').offers
    return offer.input


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("token", '"0.0000025"', 2_500_000),
        ("token", '"2.5e-6"', 2_500_000),
        ("token", '"0.00000015"', 150_000),
        ("token", '"0"', 0),
        ("token", '"0.000000000000001"', 1),  # costs something, so it isn't free
        ("token", "0.0000025", None),  # a bare number is of another form
        ("token", '"-1"', None),  # OpenRouter's way to say that it depends
        ("token", '"1"', 10**12),
        ("token", '"1.1"', None),  # more than any price
        ("million", "2.5", 2_500_000),
        ("million", '"2.5"', 2_500_000),
        ("million", "0.15000000000000002", 150_000),  # what a float made of 0.15
        ("million", "0.1", 100_000),
        ("million", "0", 0),
        ("million", "1e2", 100_000_000),
        ("million", "true", None),
        ("million", "[1]", None),
        ("micro", '"150000"', 150_000),
        ("micro", "150000", 150_000),
        ("scaled", '{"amount":350,"scale":9,"currency":"USD"}', 350_000),
        ("scaled", '{"amount":350,"scale":9}', 350_000),
        ("scaled", '{"amount":0,"scale":9,"currency":"USD"}', 0),
        ("scaled", '{"amount":350,"scale":9,"currency":"EUR"}', None),
        ("scaled", '{"amount":350,"scale":-9,"currency":"USD"}', None),
        ("scaled", '{"amount":3.5,"scale":9,"currency":"USD"}', None),
        ("scaled", '{"scale":9,"currency":"USD"}', None),
        ("scaled", '"350"', None),
        ("million", "null", None),
        ("token", '""', None),
        ("token", '"NaN"', None),
        ("token", '" 1"', None),
        ("token", '"1e-999"', None),
        ("token", '"' + "1" * 400 + '"', None),
    ],
)
def test_prices_are_exact_integers_or_unknown(unit: Unit, text: str, expected: int | None) -> None:
    assert rate(unit, text) == expected


@given(micro=st.integers(0, 10**12))
def test_every_price_of_whole_millionths_comes_through_each_form(micro: int) -> None:
    whole, rest = divmod(micro, 1_000_000)
    per_token = f"{micro // 10**12}.{micro % 10**12:012}"
    assert rate("token", json.dumps(per_token)) == micro
    assert rate("million", f"{whole}.{rest:06}") == micro
    assert rate("micro", json.dumps(str(micro))) == micro
    assert rate("scaled", json.dumps({"amount": micro, "scale": 12, "currency": "USD"})) == micro


def test_what_is_absent_is_unknown_and_what_is_unknown_to_us_is_passed_over() -> None:
    entry = {"id": "m", "pricing": {"prompt": "0.000001", "completion": None, "image": "7"}, "surprise": [{"id": "x"}]}
    assert one(TOKEN, entry) == Offer("m", input=1_000_000)
    assert one(TOKEN, {"id": "m", "pricing": None}) == Offer("m")
    assert one(TOKEN, {"id": "m", "pricing": "free"}) == Offer("m")
    assert one(Form(), {"id": "m", "pricing": {"prompt": "1"}}) == Offer("m")


ALL = Rates("token", "prompt", "completion", "read", more=(("cache_write", "write"), ("reasoning", "thought")), fees=(("per_request", "request"),))


@pytest.mark.parametrize(
    ("unit", "listed", "more", "fee"),
    [
        ("token", '"0.00000375"', 3_750_000, 4),  # per token; for a request to the nearest millionth
        ("million", "3.75", 3_750_000, 3_750_000),
        ("micro", '"3750000"', 3_750_000, 3_750_000),
        ("scaled", '{"amount":375,"scale":8,"currency":"USD"}', 3_750_000, 4),
        ("token", '"0"', None, None),  # none of its own
        ("token", '"-1"', None, None),
        ("million", "null", None, None),
    ],
)
def test_rates_beside_the_three_are_exact_and_a_zero_is_none_of_its_own(unit: Unit, listed: str, more: int | None, fee: int | None) -> None:
    form = Form(rates=(msgspec.structs.replace(ALL, unit=unit),))
    entry = f'{{"id":"m","prompt":0,"write":{listed},"thought":{listed},"request":{listed}}}'
    (offer,) = read(form, b'{"data":[' + entry.encode() + b"]}").offers
    assert (offer.cache_write, offer.reasoning) == (more, more)
    assert offer.per_request == fee
    assert offer.rates()["cache_write"] == more


def test_the_first_form_of_prices_that_is_there_counts() -> None:
    form = Form(rates=(Rates("micro", "pricing.a", "pricing.b"), *TOKEN.rates))
    assert one(form, {"id": "m", "pricing": {"a": "5", "prompt": "1"}}) == Offer("m", input=5)
    assert one(form, {"id": "m", "pricing": {"prompt": "0.000001", "completion": "0"}}) == Offer("m", input=1_000_000, output=0)


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({"context_length": 4096}, 4096),
        ({"max_model_len": 8192}, 8192),
        ({"context_length": None, "max_model_len": 8192}, 8192),
        ({"context_length": "4096"}, None),
        ({"context_length": 0}, None),
        ({"context_length": -1}, None),
        ({"context_length": 1.5}, None),
        ({"context_length": 10**12}, None),
    ],
)
def test_context_is_a_whole_number_of_tokens(entry: dict[str, Any], context: int | None) -> None:
    assert one(Form(), {"id": "m", **entry}).context == context


@pytest.mark.parametrize("name", ["maker/model-1", "a", "M@2026-01-01", "x" * 128, "meta.llama:3_1"])
def test_names_that_the_configuration_takes(name: str) -> None:
    check_name("model", name)
    assert one(Form(), {"id": name}).id == name


@pytest.mark.parametrize("name", ["", "\x1b[31mred", "a\nb", "a b", 'a"]', "é", "x" * 129, "../x", 5, None, ["a"], "a\u202eb"])
def test_entries_whose_name_can_not_be_shown_are_left_out_and_counted(name: Any) -> None:
    page = read(Form(), body({"id": name}, {"id": "good"}, {}, "no object"))
    assert ([offer.id for offer in page.offers], page.left_out, page.entries) == (["good"], 3, 4)


def test_of_two_entries_with_one_name_the_first_counts() -> None:
    page = read(Form(), body({"id": "m", "context_length": 1}, {"id": "n"}, {"id": "m", "context_length": 2}))
    assert ([(offer.id, offer.context) for offer in page.offers], page.left_out) == ([("m", 1), ("n", None)], 1)


def test_an_offer_says_what_an_upstream_of_one_model_names() -> None:
    form = Form(entries="models", id="modelId", serves="place.chute")
    page = read(form, json.dumps({"models": [{"modelId": "m", "place": {"chute": "c-1"}}, {"modelId": "n", "place": {"chute": "c 2"}}]}).encode())
    assert [offer.serves for offer in page.offers] == ["c-1", None]


def test_whether_there_is_more() -> None:
    assert not read(Form(), body({"id": "m"})).more
    assert read(Form(), body({"id": "m"}, has_more=True)).more
    assert not read(Form(), body({"id": "m"}, has_more="true")).more
    assert read(Form(), body({"id": "m"}, total=3)).more
    assert read(Form(), body({"id": "m"}, total=3), 1).more
    assert not read(Form(), body({"id": "m"}, total=3), 2).more
    assert not read(Form(), body({"id": "m"}, total="3")).more


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b"<html>", b'{"data":{}}', b'{"data":null}', b'{"data":[],"data":[]}', b'{"data":[{"id":"m","id":"n"}]}', b'{"data":[NaN]}'],
)
def test_what_is_no_list(answer: bytes) -> None:
    with pytest.raises(WireError):
        read(Form(), answer)


def test_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_ENTRIES", 2)
    with pytest.raises(WireError, match="more than 2 models"):
        read(Form(), body({"id": "a"}, {"id": "b"}, {"id": "c"}))
    monkeypatch.setattr(catalogue, "MAX_LIST", 10)
    with pytest.raises(WireError, match="larger than 10 bytes"):
        read(Form(), body({"id": "a"}))


@given(st.binary(max_size=200))
def test_only_our_own_error_escapes(garbage: bytes) -> None:
    for answer in (garbage, b'{"data":[' + garbage + b"]}", b'{"data":[{"id":"m","pricing":' + garbage + b"}]}"):
        try:
            read(TOKEN, answer)
        except WireError:
            continue
