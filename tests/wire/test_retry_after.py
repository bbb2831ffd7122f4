"""How long a provider asks to be left alone, in all its spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.wire.retry_after import pause_of

NOW = 1_792_000_000  # Wed, 14 Oct 2026 17:46:40 GMT


@pytest.mark.parametrize(
    ("seconds", "milliseconds", "pause"),
    [
        ("7", "", 7.0),
        ("0", "", 0.0),
        ("1.5", "", 1.5),
        ("7", "250", 0.25),
        ("", "1500.5", 1.5005),
        ("7", "soon", 7.0),
        ("Wed, 14 Oct 2026 17:46:50 GMT", "", 10.0),
        ("Wed, 14 Oct 2026 17:46:30 GMT", "", 0.0),
        ("Wed, 14 Oct 2026 17:46:50 -0000", "", None),  # a time without a zone
        ("999999999999", "", 366 * 86_400.0),
        ("", "", None),
        ("-1", "", None),
        ("1e9", "", None),
        ("Hello there", "Hello there", None),
        ("20, 30", "", None),
        ("1\r\nx: y", "", None),
        ("Wed, 99 Oct 2026 17:46:50 GMT", "", None),
    ],
)
def test_it_is_read(seconds: str, milliseconds: str, pause: float | None) -> None:
    assert pause_of(seconds, milliseconds, NOW) == pause


@given(st.text(max_size=40), st.text(max_size=16))
def test_nothing_breaks_it(seconds: str, milliseconds: str) -> None:
    pause = pause_of(seconds, milliseconds, NOW)
    assert pause is None or 0 <= pause <= 366 * 86_400
