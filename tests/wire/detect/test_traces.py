"""Traces: whatever is found in a document's texts, its bytes show before; and most documents show nothing."""

import copy
import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import RuleBlocked, WireError
from ollm.wire.detect.detector import AnyOf, Checked, Detector
from ollm.wire.detect.json_texts import found_in, rewritten
from ollm.wire.detect.screen import ActiveRule, Screen
from ollm.wire.detect.table import TABLE
from ollm.wire.detect.traces import SLASH, leaves_none, number
from tests.wire.detect.documents import document
from tools.detector_samples import samples

ANSWER = (
    b'{"id":"chatcmpl-ollm-BxQ2yK3mT0aN9vPzLwE1","object":"chat.completion","created":1731234567,"model":"gpt-4o-2024-08-06","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"It is 12:30, and 1,500.00 EUR\\nor 3/4 of it are left \\u2019 see C:\\\\users: 2 of them.",'
    b'"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1234,"completion_tokens":56,"total_tokens":1290}}'
)


class Thorough(Screen):
    """Reads every text, whatever its document's bytes say."""

    def passes(self, document: bytes) -> bool:
        return False


def parts(detector: Detector) -> Iterator[Checked]:
    if isinstance(detector, AnyOf):
        for each in detector._parts:
            yield from parts(each)
    elif isinstance(detector, Checked):
        yield detector


# But of IP addresses: that an IPv6 one has seven colons, or two together, its check says.
CHECKED = [part for name, detector in TABLE.items() for part in parts(detector) if name != "ip"]


@given(name=st.sampled_from(sorted(TABLE)), seed=st.integers(0, 2**32))
def test_what_is_found_left_a_trace(name: str, seed: int) -> None:
    rng = random.Random(seed)
    screen = Screen([ActiveRule("t/x", TABLE[name], None)])
    for sample in samples(name, 10, seed):
        written = document(rng, sample.text)
        assert not (any(found_in(written, screen)) and screen.passes(written))


@given(data=st.data(), part=st.sampled_from(CHECKED), seed=st.integers(0, 2**32))
def test_every_candidate_leaves_a_trace_whatever_its_check_digits(data: st.DataObject, part: Checked, seed: int) -> None:
    loose = copy.copy(part)
    loose._accepts = None
    screen = Screen([ActiveRule("t/x", loose, None)])
    text, rng = data.draw(st.from_regex(part._candidate)), random.Random(seed)
    for _ in range(20):
        written = document(rng, text)
        assert not (any(found_in(written, screen)) and screen.passes(written))


@given(names=st.lists(st.sampled_from(sorted(TABLE)), min_size=1, max_size=4, unique=True), seed=st.integers(0, 2**32))
def test_nothing_changes_by_the_short_way(names: list[str], seed: int) -> None:
    rng = random.Random(seed)
    rules = [ActiveRule(f"t/{name}", TABLE[name], rng.choice((None, "#"))) for name in names]
    for sample in samples(rng.choice(names), 3, seed):
        written = document(rng, sample.text)
        assert outcome(written, Screen(rules)) == outcome(written, Thorough(rules))


def outcome(document: bytes, screen: Screen) -> tuple[bytes | str, set[str]]:
    acted: set[str] = set()
    try:
        return rewritten(document, screen, acted), acted
    except (RuleBlocked, WireError) as problem:
        return str(problem), acted


@pytest.mark.parametrize("name", TABLE)
def test_an_ordinary_answer_leaves_none(name: str) -> None:
    assert Screen([ActiveRule("t/x", TABLE[name], None)]).passes(ANSWER)


CARD = (re.compile(number("[0-9]", "[0-9]{16}")),)


@pytest.mark.parametrize(
    ("document", "none"),
    [
        (b'"4111111111111111"', False),
        (b'"\\n4111111111111111\\n"', False),
        (b'"\\u20194111111111111111"', False),
        (b'"04111111111111111"', True),
        (b'"4111111111111111x"', True),
        (b'"4\\u0031"', False),  # what it hides is read
        (b'"\\ud800"', False),
        (b'"\\u2019"', True),
        (b'"\xff"', False),
        (b'"' + b"x" * 70_000 + b'"', False),
    ],
)
def test_leaves_none(document: bytes, none: bool) -> None:
    assert leaves_none(document, CARD) is none


def test_a_slash_may_be_escaped_at_any_depth() -> None:
    assert all(re.fullmatch(f"a{SLASH}b", text) for text in ("a/b", "a\\/b", "a\\\\\\/b"))
