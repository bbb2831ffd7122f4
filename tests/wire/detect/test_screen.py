"""Rules together: what blocks, what is masked, where both want the same text."""

import pytest

from ollm.errors import RuleBlocked
from ollm.values.rules import PromptRule
from ollm.wire.detect.screen import Screen, merged, screen_of, written

CARDS = PromptRule(name="cards", detect="payment_card", action="mask", mask="[card]")
DIGITS = PromptRule(name="digits", detect="pattern", pattern="[0-9]{4}", action="mask", mask="#")
BLOCK = PromptRule(name="ips", detect="ip")


def screen(*rules: PromptRule) -> Screen:
    found = screen_of([("t", rule) for rule in rules], "request")
    assert found is not None
    return found


def test_no_rule_for_a_side() -> None:
    assert screen_of([("t", CARDS)], "answer") is None


def test_masks_and_says_which_rule() -> None:
    acted: set[str] = set()
    assert screen(CARDS).masked("a 4111111111111111 b", acted) == "a [card] b"
    assert acted == {"t/cards"}


def test_overlapping_matches_get_the_first_mask() -> None:
    assert screen(CARDS, DIGITS).masked("4111 1111 1111 1111 1234", set()) == "[card] #"
    assert screen(DIGITS, CARDS).masked("4111 1111 1111 1111 1234", set()) == "# #"


def test_a_block_beats_a_mask() -> None:
    with pytest.raises(RuleBlocked, match="t/ips") as refused:
        screen(CARDS, BLOCK).masked("4111111111111111 10.0.0.1", set())
    assert "10.0.0.1" not in repr(refused.value)


def test_what_can_not_be_rewritten_is_refused_by_every_rule() -> None:
    with pytest.raises(RuleBlocked, match="t/cards"):
        screen(CARDS).refuse("4111111111111111")
    screen(CARDS).refuse("name")


def test_a_match_that_is_not_sure_yet_does_not_block() -> None:
    hits = screen(BLOCK).hits("10.0.0.1")
    assert merged(hits, 4)[0].end == 8
    with pytest.raises(RuleBlocked):
        merged(hits, 8)


def test_written() -> None:
    hits = screen(CARDS).hits("ab 4111111111111111 cd")
    assert written("ab 4111111111111111 cd", hits, set(), 1, 20) == "b [card] "


def test_what_passes_by_its_bytes_alone() -> None:
    named = PromptRule(name="p", detect="pattern", pattern="ACME-[0-9]{6}")
    assert screen(CARDS, named).passes(b'{"a":"some words, and 12"}')
    assert not screen(CARDS, named).passes(b'{"a":"ACME-1"}')
    assert not screen(CARDS, DIGITS).passes(b'{"a":"words"}')  # a pattern that may begin with anything
    assert screen(CARDS).passes(b"null")
    assert not screen(CARDS).passes(b'"\xff"')
