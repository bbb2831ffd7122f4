import json

import pytest

from ollm.errors import WireError
from ollm.values.hexes import Hex32
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.preferences import Preferences
from ollm.wire.request import parse_json

ID = Hex32("ab" * 32)


def body(**members: object) -> bytes:
    return json.dumps({"model": "demo", "messages": [{"role": "user", "content": "canary-4711"}], **members}).encode()


def test_routing_members_are_read() -> None:
    request = parse_json(body(stream=True, stream_options={"include_usage": True}))
    assert (request.model, request.stream, request.include_usage, request.preferences) == ("demo", True, True, Preferences())


def test_absent_and_null_are_the_defaults() -> None:
    for request in (parse_json(body()), parse_json(body(stream=None, stream_options=None))):
        assert (request.stream, request.include_usage) == (False, False)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"provider": "mine"}, "provider"),
        ({"provider": {"aci_verified": "true"}}, "provider.aci_verified"),
        ({"provider": {"aci_verified": None}}, "provider.aci_verified"),
        ({"provider": {"aci_other": 1}}, "provider"),
        ({"provider": {"aci_session_ids": []}}, "provider.aci_session_ids"),
        ({"provider": {"aci_session_ids": [ID] * 65}}, "provider.aci_session_ids"),
        ({"provider": {"aci_session_ids": ["AB" * 32]}}, "provider.aci_session_ids"),
        ({"provider": {"aci_session_ids": [1]}}, "provider.aci_session_ids"),
        ({"provider": {"aci_session_ids": None}}, "provider.aci_session_ids"),
        ({"provider": {"aci_verified": False, "aci_session_ids": [ID]}}, "provider.aci_verified"),
    ],
)
def test_a_malformed_member_is_named(members: dict[str, object], param: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_json(body(**members))
    assert caught.value.param == param
    assert "canary" not in str(caught.value)


def test_model_is_required() -> None:
    with pytest.raises(WireError) as caught:
        parse_json(b"{}")
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("provider", "preferences"),
    [
        ({"aci_verified": True}, Preferences(verified=True)),
        ({"aci_verified": False}, Preferences()),
        ({"aci_session_ids": [ID]}, Preferences(verified=True, session_ids=(ID,))),  # ids imply verified
        ({"aci_verified": True, "aci_session_ids": [ID]}, Preferences(verified=True, session_ids=(ID,))),
        ({"order": ["x"]}, Preferences(order=("x",))),
        ({"data_collection": "deny"}, Preferences()),
        ({}, Preferences()),
        (None, Preferences()),
    ],
)
def test_preferences_are_read(provider: object, preferences: Preferences) -> None:
    assert parse_json(body(provider=provider)).preferences == preferences


def test_forward_replaces_the_model_and_keeps_the_rest_byte_for_byte() -> None:
    raw = b'{"messages": [ {"role":"user","content":"caf\\u00e9 \xc3\xa9"} ],"temperature":0.70,"model":"demo","max_tokens":1e2}'
    forwarded = parse_json(raw).forward("up/model")
    assert forwarded == b'{"messages":[ {"role":"user","content":"caf\\u00e9 \xc3\xa9"} ],"temperature":0.70,"model":"up/model","max_tokens":1e2}'


def test_usage_is_always_asked_for_on_a_stream_and_only_there() -> None:
    assert json.loads(parse_json(body(stream=True)).forward("m"))["stream_options"] == {"include_usage": True}
    asked = parse_json(body(stream=True, stream_options={"include_usage": False, "include_obfuscation": False}))
    assert json.loads(asked.forward("m"))["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "stream_options" not in json.loads(parse_json(body()).forward("m"))


def test_our_preferences_are_consumed_and_those_for_the_provider_pass() -> None:
    assert "provider" not in json.loads(parse_json(body(provider={"aci_verified": True})).forward("m"))
    mixed = parse_json(body(provider={"aci_session_ids": [ID], "sort": "price", "data_collection": "deny"}))
    assert json.loads(mixed.forward("m"))["provider"] == {"data_collection": "deny"}
    assert json.loads(parse_json(body(provider={})).forward("m"))["provider"] == {}


def test_forward_can_be_repeated_for_another_candidate() -> None:
    request = parse_json(body(provider={"aci_verified": True}))
    assert json.loads(request.forward("a"))["model"] == "a"
    assert json.loads(request.forward("b"))["model"] == "b"


def test_nothing_of_the_prompt_is_in_the_repr() -> None:
    request = parse_json(body(user="canary-4711"))
    assert "canary" not in repr(request) + str(request) + f"{request}"


def test_a_request_without_a_model_is_for_the_default_of_its_endpoint() -> None:
    moderations = ENDPOINTS["moderations"]
    request = parse_json(b'{"input":"x"}', moderations, "guard")
    assert (request.model, json.loads(request.forward("theirs"))) == ("guard", {"input": "x", "model": "theirs"})
    assert parse_json(b'{"input":"x","model":"own"}', moderations, "guard").model == "own"
    with pytest.raises(WireError):
        parse_json(b'{"input":"x"}', moderations)
    with pytest.raises(WireError):
        parse_json(b'{"input":"x","model":7}', moderations, "guard")


def test_a_stream_of_sound_is_asked_for_by_its_format() -> None:
    speech = ENDPOINTS["audio.speech"]
    assert parse_json(b'{"model":"m","input":"x","stream_format":"sse"}', speech).stream
    assert not parse_json(b'{"model":"m","input":"x","stream_format":"audio"}', speech).stream
    assert not parse_json(b'{"model":"m","input":"x","stream":true}', ENDPOINTS["embeddings"]).stream


@pytest.mark.parametrize(
    ("endpoint", "text", "characters"),
    [
        ("audio.speech", '"sån"', 3),
        ("audio.speech", '"\\ud83d\\ude00"', 1),
        ("audio.speech", "7", 0),
        ("audio.speech", "null", 0),
        ("embeddings", '"sån"', 0),
    ],
)
def test_what_is_spoken_is_counted_in_characters(endpoint: str, text: str, characters: int) -> None:
    assert parse_json(f'{{"model":"m","input":{text}}}'.encode(), ENDPOINTS[endpoint]).characters == characters
    assert parse_json(b'{"model":"m"}', ENDPOINTS[endpoint]).characters == 0
