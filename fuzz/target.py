"""What a parser under test is: its name, how to call it with bytes, and good input to begin with."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from fuzz.limits import LIMIT_SECONDS
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal


@dataclasses.dataclass(frozen=True)
class Target:
    """One parser, or one appraisal with one of its inputs replaced."""

    name: str
    call: Callable[[bytes], object]  # must raise EvidenceRefused or return
    seeds: Callable[[], Sequence[bytes]]  # well-formed input; made when first asked for
    text: bool = False  # JSON, XML, PEM: damage tokens too
    recorded: tuple[str, ...] = ()  # patterns of files of recorded evidence, where a folder of it is given
    heavy: bool = False  # milliseconds of signatures for each input that gets past the format: the tests try fewer
    keeps: int = 0  # bytes of each input that a library below keeps for good, where that is known and the reason stands beside it
    slowed: float = 1.0  # how much longer than LIMIT_SECONDS an input may take


class Slow(Exception):
    """An input took too long, twice."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one input led to. `check` is the check that refused it, or None when it was taken."""

    check: str | None
    seconds: float


def judge(target: Target, data: bytes) -> Verdict:
    """Call the parser. Raises: whatever the parser lets escape and shouldn't; Slow.

    A slow input is tried again by itself: what made the machine slow for a moment is no finding, and a hang is one each time.
    """
    limit = LIMIT_SECONDS * target.slowed
    verdict = once(target, data)
    for _ in range(4):
        if verdict.seconds <= limit:
            return verdict
        verdict = once(target, data)
    if verdict.seconds > limit:
        raise Slow(f"{verdict.seconds:.3f} s for {len(data)} bytes, at most {limit:.3f} s")
    return verdict


def once(target: Target, data: bytes) -> Verdict:
    """Call the parser once and measure its processor time, which neighbours hardly change. Raises: whatever escapes from it but EvidenceRefused."""
    check = None
    begun = time.thread_time()
    try:
        target.call(data)
    except EvidenceRefused as error:
        check = error.check
    return Verdict(check, time.thread_time() - begun)


def member(names: Sequence[str], data: bytes) -> tuple[str, bytes]:
    """Which of `names` the first byte of `data` chooses, and the bytes behind it: how one input replaces one of several parts."""
    return names[data[0] % len(names)] if data else names[0], data[1:]


def members(parts: Sequence[bytes]) -> list[bytes]:
    """A seed for each of `parts`, as `member` reads it."""
    return [bytes([index]) + part for index, part in enumerate(parts)]


def raised(appraisal: Appraisal) -> Appraisal:
    """An appraisal that accepts. Raises: EvidenceRefused for one that doesn't, as the parsers do, so that refusals are counted alike."""
    if appraisal.failure is not None:
        raise EvidenceRefused(appraisal.failure.name, appraisal.failure.got, appraisal.failure.want)
    return appraisal
