"""A verdict on one input: refused, taken, escaped or too slow."""

import time

import pytest

from fuzz import target
from fuzz.target import Slow, Target, judge, member, members, once, raised
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.level import Level


def refuse(data: bytes) -> None:
    raise EvidenceRefused("some.check", "got", "want")


def burn(seconds: float) -> None:
    """Use that much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def aim(call: object) -> Target:
    return Target("parser", call, lambda: [b""])  # type: ignore[arg-type]


def test_a_refusal_is_counted_by_its_check_and_acceptance_is_none() -> None:
    assert judge(aim(refuse), b"").check == "some.check"
    assert judge(aim(len), b"").check is None


def test_anything_else_escapes() -> None:
    with pytest.raises(IndexError):
        judge(aim(lambda data: data[0]), b"")


def test_what_is_slow_each_time_is_a_finding_and_a_stall_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "LIMIT_SECONDS", 0.001)
    with pytest.raises(Slow, match=r"for 3 bytes, at most 0\.001 s"):
        judge(aim(lambda _: burn(0.002)), b"abc")
    stalls = iter([0.002, 0.0])
    assert judge(aim(lambda _: burn(next(stalls))), b"").check is None


def test_time_is_measured_whatever_came_of_it() -> None:
    def slowly(data: bytes) -> None:
        burn(0.002)
        refuse(data)

    assert once(aim(slowly), b"").seconds >= 0.002


def test_one_input_replaces_one_of_several_parts() -> None:
    names = ("leaf", "chain", "crl")
    assert [member(names, seed) for seed in members([b"L", b"C", b"R"])] == [("leaf", b"L"), ("chain", b"C"), ("crl", b"R")]
    assert member(names, b"") == ("leaf", b"")
    assert member(names, b"\x05x") == ("crl", b"x")


def test_an_appraisal_that_refuses_is_raised() -> None:
    passed = Appraisal("p", Level.TEE, (Check("a.b", Outcome.PASSED),))
    assert raised(passed) is passed
    with pytest.raises(EvidenceRefused, match=r"^a\.b: got x, want y$"):
        raised(Appraisal("p", Level.TEE, (Check("a.b", Outcome.FAILED, "x", "y"),)))
