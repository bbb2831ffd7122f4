"""What goes out of a window is what goes out of the whole text, wherever it was cut."""

import random

import pytest

from ollm.errors import RuleBlocked
from ollm.values.rules import DETECTORS, PromptRule
from ollm.wire.detect.screen import Screen, screen_of
from ollm.wire.detect.windows import Window
from tools.detector_samples import KINDS, SHAPES, everyday

ALL = [PromptRule(name=name.replace(":", "."), detect=name, action="mask", mask=f"<{name[-4:]}>") for name in DETECTORS]  # type: ignore[arg-type]
WORD = PromptRule(name="word", detect="pattern", pattern="(?i)project[- ]x+[0-9]*", longest=20, action="mask")
GLUE = (" ", ". ", ", ", "-", "x", "1", "12 ", "é", "\n", "The ", "://", "@", "+", "A1", ":", "/", "project x")


def screen(*rules: PromptRule) -> Screen:
    found = screen_of([("t", rule) for rule in rules], "request")
    assert found is not None
    return found


def piece(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(GLUE)
    if kind == 1:
        return everyday(rng)
    if kind == 2:
        return SHAPES[rng.choice(sorted(SHAPES))](rng)
    drawn = KINDS[rng.choice(sorted(KINDS))]
    number = drawn.draw(rng)
    for _ in range(200):
        if drawn.holds(number):
            break
        number = drawn.draw(rng)
    return rng.choice(drawn.forms)(number)


@pytest.mark.parametrize("seed", range(60))
def test_the_same_wherever_it_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(piece(rng) for _ in range(10))
    for rules in (screen(*ALL), screen(WORD)):
        window, out, at = Window(rules, set()), "", 0
        while at < len(text):
            size = rng.randint(1, 7)
            out += window.push(text[at : at + size])
            at += size
        assert out + window.flush() == rules.masked(text, set())
        assert not window.held


def test_only_what_could_become_a_match_is_held() -> None:
    window = Window(screen(PromptRule(name="c", detect="payment_card", action="mask")), set())
    assert window.push("Hello there, my ") == "Hello there, my "
    assert window.push("number is 41") == "number is "
    assert window.held
    assert repr(window) == "<window>"
    assert window.push("0 apples") == "410 apples"


def test_a_match_across_pieces_blocks_before_any_of_it_goes_out() -> None:
    window = Window(screen(PromptRule(name="c", detect="payment_card")), set())
    assert window.push("pay 4111 1111 ") == "pay "
    assert window.push("1111 1111") == ""
    with pytest.raises(RuleBlocked):
        window.push(". Thanks")


def test_what_goes_through_at_once_counts_as_before() -> None:
    window = Window(screen(PromptRule(name="c", detect="payment_card", action="mask", mask="#")), set())
    assert window.through("no. x")
    assert window.through("41")  # of "x41": no number begins there
    assert window.through("a ")
    assert not window.through("4111 ")
    assert not window.held  # it is not in yet
    assert window.push("4111 ") == ""
    assert not window.through("word")
    assert window.push("1111 1111 1111 ") + window.flush() == "# "
