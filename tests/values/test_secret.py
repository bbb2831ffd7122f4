"""A sealed value comes out through `expose()` and no other way."""

import copy
import json
import logging
import pickle
import traceback

import msgspec
import pytest

from ollm.values.secret import Sealed

CANARY = b"canary-3f1c"


def test_expose_gives_the_value() -> None:
    assert Sealed(CANARY).expose() == CANARY


@pytest.mark.parametrize(
    "shown",
    [
        repr(Sealed(CANARY)),
        str(Sealed(CANARY)),
        f"{Sealed(CANARY)}",
        f"{Sealed(CANARY)!r:>40}",
        f"{Sealed(CANARY):>40}",
        "%s %r" % (Sealed(CANARY), Sealed(CANARY)),  # noqa: UP031  # percent formatting is what logging uses
        repr([Sealed(CANARY)]),
        repr({"a": Sealed(CANARY)}),
    ],
)
def test_nothing_prints_it(shown: str) -> None:
    assert "canary" not in shown
    assert "<sealed>" in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_not_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Sealed(CANARY), protocol)


def test_it_can_not_be_copied_or_encoded() -> None:
    for attempt in (copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            attempt(Sealed(CANARY))


def test_it_has_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Sealed(CANARY))


def test_equal_values_are_not_equal_objects() -> None:
    assert Sealed(CANARY) != Sealed(CANARY)


def test_a_log_line_and_a_traceback_with_locals_do_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    prompt = Sealed(CANARY)
    logging.getLogger("test").warning("value %s", prompt)
    try:
        raise ValueError(prompt)
    except ValueError as problem:
        shown = "".join(traceback.TracebackException.from_exception(problem, capture_locals=True).format())
    assert "<sealed>" in shown and "<sealed>" in caplog.text
    assert "canary" not in (shown + caplog.text).replace("CANARY", "")
