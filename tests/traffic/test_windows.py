"""Where windows of the clock and of the calendar begin and end."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.traffic.windows import SPANS, Span, window_of


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text + "+00:00").timestamp())


@pytest.mark.parametrize(
    ("span", "now", "start", "end"),
    [
        ("minute", "2026-11-24T13:45:59", "2026-11-24T13:45:00", "2026-11-24T13:46:00"),
        ("hour", "2026-11-24T13:45:59", "2026-11-24T13:00:00", "2026-11-24T14:00:00"),
        ("day", "2026-11-24T23:59:59", "2026-11-24T00:00:00", "2026-11-25T00:00:00"),
        pytest.param("week", "2026-11-24T13:45:59", "2026-11-23T00:00:00", "2026-11-30T00:00:00", id="a Tuesday's week"),
        pytest.param("week", "2026-11-23T00:00:00", "2026-11-23T00:00:00", "2026-11-30T00:00:00", id="a Monday's week"),
        pytest.param("week", "2026-11-22T23:59:59", "2026-11-16T00:00:00", "2026-11-23T00:00:00", id="a Sunday's week"),
        pytest.param("week", "2027-01-01T00:00:00", "2026-12-28T00:00:00", "2027-01-04T00:00:00", id="a week over the new year"),
        ("month", "2028-02-29T12:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
        ("month", "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("quarter", "2026-05-17T08:00:00", "2026-04-01T00:00:00", "2026-07-01T00:00:00"),
        ("quarter", "2026-12-01T00:00:00", "2026-10-01T00:00:00", "2027-01-01T00:00:00"),
        ("year", "2026-11-24T13:45:59", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_a_window_begins_and_ends_with_the_calendar(span: Span, now: str, start: str, end: str) -> None:
    window = window_of(span, at(now))
    assert (window.start, window.end) == (at(start), at(end))


@given(st.sampled_from(SPANS), st.integers(0, at("2400-01-01T00:00:00")))
def test_windows_hold_their_moment_and_leave_no_gap(span: Span, now: int) -> None:
    window = window_of(span, now)
    assert window.start <= now < window.end
    assert window_of(span, window.end).start == window.end
    assert window_of(span, window.end - 1) == window
