"""Rules as values."""

import msgspec
import pytest

from ollm.values.rules import DETECTORS, Names, PromptRule, RuleException, Rules, digest
from ollm.wire.detect.table import TABLE


def test_every_detector_exists() -> None:
    assert set(DETECTORS) == set(TABLE)


@pytest.mark.parametrize(
    ("names", "permitted"),
    [(Names(), True), (Names(allow=()), False), (Names(allow=("a",)), True), (Names(allow=("a",), deny=("a",)), False), (Names(deny=("b",)), True)],
)
def test_names(names: Names, permitted: bool) -> None:
    assert names.permits("a") is permitted


def test_the_digest_is_of_what_is_said_and_not_of_its_order() -> None:
    one, two = Rules(gpu="required"), Rules(regions=("eu",))
    assert digest({"a": one, "b": two}) == digest({"b": two, "a": one})
    assert digest({"a": one}) != digest({"b": one})
    assert digest({"a": one}) == digest({"a": Rules(gpu="required", prompt=())})


@pytest.mark.parametrize("mask", ['"', "\\", "a\nb", "x" * 65])
def test_a_mask_is_the_same_in_json(mask: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "a", "detect": "iban", "mask": mask}, PromptRule)


def test_an_exception_ends_at_a_moment_with_a_zone() -> None:
    table = {"name": "a", "key": "k", "rule": "r", "reason": "why"}
    assert msgspec.convert({**table, "until": "2027-01-01T01:00:00+01:00"}, RuleException).until_unix == 1798761600
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**table, "until": "2027-01-01T00:00:00"}, RuleException)
