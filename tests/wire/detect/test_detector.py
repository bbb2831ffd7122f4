"""Candidates, gates, and where a text is still open."""

from ollm.wire.detect.detector import AnyOf, Checked, Span, all_of

EVEN = Checked("[0-9](?<![0-9].)", "(?<![0-9])([0-9]{3})(?![0-9])", "(?<![0-9])[0-9]++", 8, lambda candidate, before: int(candidate) % 2 == 0)


def test_only_accepted_candidates() -> None:
    assert list(EVEN.find("122 123 1222 124")) == [Span(0, 3), Span(13, 16)]


def test_open_from_the_number_that_a_text_ends_with() -> None:
    assert EVEN.open_from("a 12") == 2
    assert EVEN.open_from("a 12 ") == 5
    assert EVEN.open_from("1" * 20) == 20  # too long to become one


def test_the_check_sees_what_stands_before() -> None:
    named = Checked("[0-9]", "([0-9])", "[0-9]", 2, lambda candidate, before: before.endswith("no "))
    assert list(named.find("5 no 6")) == [Span(5, 6)]


def test_of_several_the_first_and_longest_counts() -> None:
    short, long = Checked("a", "(ab)", "a", 4), Checked("a", "(abc)", "ab?", 4)
    assert list(AnyOf(short, long).find("abc ab")) == [Span(0, 3), Span(4, 6)]
    assert AnyOf(short, long).open_from("x ab") == 2


def test_traces_of_several_each_once() -> None:
    one, two = Checked("a", "(ab)", "a", 4, trace="ab"), Checked("b", "(bc)", "b", 4, trace="bc")
    traces = all_of((one, AnyOf(two, one)))
    assert traces is not None
    assert [trace.pattern for trace in traces] == ["ab", "bc"]
    assert all_of((one, EVEN)) is None
