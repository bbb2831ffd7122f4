"""Several keys of one provider: they take turns, and one that is not worth a request is passed over."""

from ollm.upstream.asking import Heads
from ollm.upstream.credentials import Credentials
from ollm.values.secret import Sealed


def keys(*texts: str) -> Credentials:
    return Credentials([Sealed(text.encode()) for text in texts])


def turns(held: Credentials, count: int, now: float = 0.0) -> list[bytes]:
    found = []
    for _ in range(count):
        held.choose(now)
        found.append(held.expose())
    return found


def test_they_take_turns() -> None:
    assert turns(keys("a", "b", "c"), 5) == [b"a", b"b", b"c", b"a", b"b"]
    assert turns(keys("a"), 2) == [b"a", b"a"]


def test_a_head_carries_the_one_that_was_chosen_last() -> None:
    held = keys("sk-a", "sk-b")
    heads = Heads("https://a.example", held)
    for text in (b"sk-a", b"sk-b", b"sk-a"):
        held.choose(0.0)
        assert b"authorization: Bearer " + text + b"\r\n" in heads.post("/", 0, "a/b", {})
    held.use(1)
    assert b"Bearer sk-b\r\n" in heads.get("/", credential=True)


def test_one_that_is_refused_is_set_aside_for_a_while() -> None:
    held = keys("a", "b")
    for status in (401, 402, 403):
        assert held.told(0, status, None, 0.0)
        assert turns(held, 3) == [b"b", b"b", b"b"]
        assert b"a" in turns(held, 2, 301.0)


def test_one_that_is_limited_is_passed_over_for_as_long_as_it_says() -> None:
    held = keys("a", "b")
    assert held.told(0, 429, 10.0, 0.0)
    assert turns(held, 2, 9.9) == [b"b", b"b"]
    assert turns(held, 2, 10.0) == [b"a", b"b"]
    held.told(1, 429, None, 20.0)
    assert turns(held, 2, 21.9) == [b"a", b"a"]
    assert turns(held, 1, 22.0) == [b"b"]
    held.told(0, 429, 1e9, 30.0)
    assert b"a" in turns(held, 2, 330.0)


def test_with_none_left_the_one_that_is_due_soonest_is_used() -> None:
    held = keys("a", "b")
    assert held.told(0, 401, None, 0.0)
    assert not held.told(1, 429, 5.0, 1.0), "there is no other to try"
    assert turns(held, 2, 2.0) == [b"b", b"b"]


def test_a_good_answer_brings_one_back_and_a_clients_fault_says_nothing() -> None:
    held = keys("a", "b")
    held.told(0, 401, None, 0.0)
    assert held.told(0, 404, None, 0.0) and turns(held, 1) == [b"b"]
    held.told(0, 200, None, 0.0)
    assert turns(held, 2) == [b"a", b"b"]


def test_they_do_not_show_themselves() -> None:
    held = keys("sk-canary", "sk-canary-2")
    assert "canary" not in repr(held) + str(held) + f"{held}"
    assert len(held) == 2
