"""How members are read and judged. The tables themselves are in test_tables.py."""

import json
from typing import Any

import msgspec
import pytest

from ollm.errors import WireError
from ollm.wire.dialects.fields import Carried, Dropped, Fields, Refused, Rules, judge

RULES: Rules = {
    "known": Carried("x"),
    "left": Dropped("why"),
    "bad": Refused("it is refused", (0, {})),
    "list.inner": Dropped("why"),
    "of[big]": Refused("too big"),
}


def members(**values: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in values.items()}


def fields(**values: Any) -> Fields:
    return Fields(members(**values), RULES)


def test_null_is_absent() -> None:
    assert fields(known=None).raw("known") is None and fields().text("known") is None and not fields(known=None).has("known")


@pytest.mark.parametrize(
    ("method", "good", "kind"),
    [
        ("text", "x", "a string"),
        ("texts", ["x"], "a list of strings"),
        ("flag", True, "a boolean"),
        ("number", 1.5, "a number"),
        ("object", {}, "an object"),
        ("objects", [{}], "a list of objects"),
    ],
)
def test_a_member_of_another_kind_is_named(method: str, good: object, kind: str) -> None:
    assert getattr(fields(known=good), method)("known") is not None
    with pytest.raises(WireError) as caught:
        getattr(Fields(members(known="canary" if method != "text" else 3), RULES, at="a[0]"), method)("known")
    assert (caught.value.reason, caught.value.param) == (f"known must be {kind}", "a[0].known")


def test_a_number_keeps_its_text() -> None:
    assert bytes(Fields({"known": msgspec.Raw(b"1.50e0")}, RULES).numeral("known") or b"") == b"1.50e0"


def test_what_is_needed_must_be_there() -> None:
    with pytest.raises(WireError, match="known is required"):
        fields().need("known")
    with pytest.raises(WireError, match="type is required"):
        fields().kind()
    assert fields().kind("plain") == "plain"


def test_what_nobody_took_is_judged() -> None:
    fields(left=1, bad=0).end()
    fields(bad={}, unknown=None).end()
    for values, param in (({"bad": 1}, "bad"), ({"known": 1}, None), ({"canary": 1}, None)):
        with pytest.raises(WireError) as caught:
            fields(**values).end()
        assert caught.value.param == param and "canary" not in str(caught.value)


def test_inner_members_have_places_and_paths() -> None:
    inner = (fields(list=[{"inner": 1, "other": 2}]).objects("list") or [])[0]
    with pytest.raises(WireError) as caught:
        inner.end()
    assert caught.value.param == "list[0]"
    assert "canary" not in repr(fields(known="canary"))


def test_parts_are_refused_by_their_type() -> None:
    for kind, reason in (("big", "too big"), ("canary", "a part of this type can't be translated for the model's provider")):
        part = Fields(members(type=kind), RULES, "of", "of[3]")
        assert part.kind() == kind
        assert (part.refuse().reason, part.refuse().param) == (reason, "of[3]")


def test_a_forbidden_member_is_refused_where_it_stands() -> None:
    fields().forbid("bad")
    fields(left=1).forbid("left")
    with pytest.raises(WireError, match="it is refused"):
        fields(bad=1).forbid("bad")


def test_a_writer_judges_by_the_clients_word() -> None:
    assert judge(RULES, "known", "theirs") == "x" and judge(RULES, "left", "theirs") is None
    with pytest.raises(WireError) as caught:
        judge(RULES, "bad", "theirs")
    assert caught.value.param == "theirs"
