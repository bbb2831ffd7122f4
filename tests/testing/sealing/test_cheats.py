"""What is done to the events of a stream without any key."""

import pytest

from ollm.testing.sealing.cheats import Cheat, event, tampered

EVENTS = [b"init", b"1", b"2", b"3", b"4", b"done"]


@pytest.mark.parametrize(
    ("cheat", "out"),
    [
        (Cheat.NONE, [b"init", b"1", b"2", b"3", b"4", b"done"]),
        (Cheat.DROPPED, [b"init", b"1", b"2", b"4", b"done"]),
        (Cheat.REORDERED, [b"init", b"1", b"3", b"2", b"4", b"done"]),
        (Cheat.DUPLICATED, [b"init", b"1", b"2", b"3", b"3", b"4", b"done"]),
        (Cheat.TRUNCATED, [b"init", b"1", b"2", b"done"]),
    ],
)
def test_events(cheat: Cheat, out: list[bytes]) -> None:
    assert tampered(EVENTS, cheat, head=1) == out
    assert EVENTS[0] == b"init"


def test_an_event() -> None:
    assert event({"a": [1, "é"]}) == b'data: {"a":[1,"\\u00e9"]}\n\n'
