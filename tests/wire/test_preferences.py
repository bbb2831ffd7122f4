"""What a caller demands and prefers: read strictly, taken out, and never to the harm of what others demand."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.wire.preferences import NO_PREFERENCES, MaxPrice, Preferences, combined, stated, take

AB, CD = Hex32("ab" * 32), Hex32("cd" * 32)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def taken(provider: object) -> tuple[Preferences, Any]:
    """What `take` makes of a body with this `provider`, the rest decoded."""
    preferences, rest = take(_members(json.dumps({"model": "m", "provider": provider}).encode()))
    return preferences, None if rest is None else json.loads(msgspec.json.encode(rest))


@pytest.mark.parametrize(
    ("provider", "preferences"),
    [
        ({"order": ["a", "b"]}, Preferences(order=("a", "b"))),
        ({"order": [], "ignore": []}, Preferences()),
        ({"only": ["a"], "ignore": ["b"]}, Preferences(only=("a",), ignore=("b",))),
        ({"allow_fallbacks": False}, Preferences(allow_fallbacks=False)),
        ({"allow_fallbacks": True, "require_parameters": False}, Preferences()),
        ({"require_parameters": True}, Preferences(require_parameters=True)),
        ({"max_price": {"prompt": 1.5, "completion": "0.000001"}}, Preferences(max_price=MaxPrice(1_500_000, 1))),
        ({"max_price": {"prompt": 0}}, Preferences(max_price=MaxPrice(0))),
        ({"max_price": {}}, Preferences(max_price=MaxPrice())),
        ({"sort": "latency"}, Preferences(sort="latency")),
        ({"zdr": True}, Preferences(level=Level.ZDR)),
        ({"zdr": False}, Preferences()),
        ({"zdr": True, "aci_verified": True}, Preferences(level=Level.ZDR, verified=True)),
        ({"aci_verified": False, "sort": "price"}, Preferences(sort="price")),
        (dict.fromkeys(("order", "only", "ignore", "allow_fallbacks", "require_parameters", "max_price", "sort", "zdr")), Preferences()),
    ],
)
def test_ours_are_read_and_taken_out(provider: dict[str, Any], preferences: Preferences) -> None:
    found, rest = taken({**provider, "data_collection": "deny", "quantizations": ["fp8"]})
    assert found == preferences
    assert rest == {"data_collection": "deny", "quantizations": ["fp8"]}


@pytest.mark.parametrize("provider", [None, {}, {"data_collection": "deny"}])
def test_without_any_of_ours_it_goes_on_as_it_came(provider: object) -> None:
    assert taken(provider) == (NO_PREFERENCES, None)
    assert take(_members(b'{"model":"m"}')) == (NO_PREFERENCES, None)


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ("a", "provider"),
        ([], "provider"),
        ({"order": "a"}, "provider.order"),
        ({"order": [1]}, "provider.order"),
        ({"order": ["a", "a"]}, "provider.order"),
        ({"order": [str(number) for number in range(65)]}, "provider.order"),
        ({"only": []}, "provider.only"),
        ({"ignore": {}}, "provider.ignore"),
        ({"only": ["a"], "ignore": ["a"]}, "provider.ignore"),
        ({"order": ["a"], "ignore": ["a"]}, "provider.ignore"),
        ({"order": ["b"], "only": ["a"]}, "provider.order"),
        ({"order": ["a"], "sort": "price"}, "provider.sort"),
        ({"allow_fallbacks": "no"}, "provider.allow_fallbacks"),
        ({"require_parameters": 1}, "provider.require_parameters"),
        ({"zdr": "true"}, "provider.zdr"),
        ({"sort": "fame"}, "provider.sort"),
        ({"sort": {"by": "price"}}, "provider.sort"),
        ({"max_price": 5}, "provider.max_price"),
        ({"max_price": {"image": 5}}, "provider.max_price"),
        ({"max_price": {"prompt": -1}}, "provider.max_price"),
        ({"max_price": {"prompt": "NaN"}}, "provider.max_price"),
        ({"max_price": {"prompt": "1e9999999"}}, "provider.max_price"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price"),
        ({"aci_verified": None}, "provider.aci_verified"),
        ({"aci_session_ids": []}, "provider.aci_session_ids"),
        ({"aci_session_ids": [AB] * 65}, "provider.aci_session_ids"),
        ({"aci_session_ids": ["AB" * 32]}, "provider.aci_session_ids"),
        ({"aci_session_ids": [AB], "aci_verified": False}, "provider.aci_verified"),
        ({"aci_other": 1}, "provider"),
    ],
)
def test_what_is_not_understood_or_contradicts_itself_is_refused(provider: object, param: str) -> None:
    with pytest.raises(WireError) as caught:
        taken(provider)
    assert caught.value.param == param


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_nothing_else_than_its_own_error_comes_out(value: object) -> None:
    for name in ("order", "only", "ignore", "allow_fallbacks", "require_parameters", "max_price", "sort", "zdr", "aci_verified", "aci_session_ids"):
        with contextlib.suppress(WireError):
            taken({name: value})


def test_names_are_the_callers_and_are_not_printed() -> None:
    found, _ = taken({"order": ["canary"]})
    assert "canary" not in repr(found) + str(found)
    assert found.named == {"canary"}


# Headers


@pytest.mark.parametrize(
    ("headers", "preferences"),
    [
        ([], NO_PREFERENCES),
        ([(b"x-ollm-require", b"tee")], Preferences(level=Level.TEE)),
        ([(b"x-ollm-require", b"zdr")], Preferences(level=Level.ZDR)),
        ([(b"x-ollm-require", b"simulated"), (b"x-other", b"tee")], Preferences()),
        ([(b"x-ollm-sessions", f"{AB}, {CD}".encode())], Preferences(session_ids=(AB, CD))),
    ],
)
def test_headers_say_the_same(headers: list[tuple[bytes, bytes]], preferences: Preferences) -> None:
    assert stated(headers) == preferences


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ([(b"x-ollm-require", b"TEE")], "x-ollm-require"),
        ([(b"x-ollm-require", b"")], "x-ollm-require"),
        ([(b"x-ollm-require", b"tee"), (b"x-ollm-require", b"tee")], "x-ollm-require"),
        ([(b"x-ollm-require", b"\xff")], "x-ollm-require"),
        ([(b"x-ollm-sessions", b"")], "x-ollm-sessions"),
        ([(b"x-ollm-sessions", AB.encode() + b",")], "x-ollm-sessions"),
        ([(b"x-ollm-sessions", AB.encode())] * 2, "x-ollm-sessions"),
    ],
)
def test_headers_are_read_as_strictly(headers: list[tuple[bytes, bytes]], param: str) -> None:
    with pytest.raises(WireError) as caught:
        stated(headers)
    assert caught.value.param == param


def test_body_and_headers_tighten_each_other() -> None:
    inside = Preferences(level=Level.ZDR, order=("a",))
    assert combined(inside, NO_PREFERENCES) is inside
    assert combined(inside, Preferences(level=Level.TEE)) == Preferences(level=Level.TEE, order=("a",))
    assert combined(inside, Preferences(level=Level.SIMULATED, session_ids=(AB,))) == Preferences(level=Level.ZDR, order=("a",), session_ids=(AB,))
    same = Preferences(verified=True, session_ids=(AB, CD))
    assert combined(same, Preferences(session_ids=(CD, AB))) == same


def test_sessions_that_differ_are_a_contradiction() -> None:
    with pytest.raises(WireError) as caught:
        combined(Preferences(verified=True, session_ids=(AB,)), Preferences(session_ids=(CD,)))
    assert caught.value.param == "x-ollm-sessions"
