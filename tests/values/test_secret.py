"""A sealed value comes out through `expose()` and no other way."""

import copy
import importlib
import json
import logging
import pickle
import pkgutil
import pprint
import traceback
from collections.abc import Callable, Iterator

import msgspec
import pytest
from rich.pretty import pretty_repr

import ollm
from ollm.values.secret import Hidden, Sealed

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


class Prompt(Hidden, frozen=True):
    model: str
    text: bytes


@pytest.mark.parametrize("show", [repr, str, format, pprint.pformat, pretty_repr, lambda value: f"{value!r:>80}", lambda value: repr([value])])
def test_a_hidden_struct_shows_none_of_its_fields(show: Callable[[object], str]) -> None:
    shown = show(Prompt("a model", CANARY))
    assert "Prompt" in shown
    assert CANARY.decode() not in shown
    assert "a model" not in shown


def test_no_struct_hides_from_repr_and_shows_to_rich() -> None:
    """rich asks a struct for `__rich_repr__` first, and msgspec answers with every field."""
    found = [kind for kind in all_structs(msgspec.Struct) if kind.__repr__ is not msgspec.Struct.__repr__]
    assert Hidden in found
    assert [kind.__name__ for kind in found if kind.__rich_repr__ is msgspec.Struct.__rich_repr__] == []


def all_structs(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Structs of ours that are loaded, once every module of the package is."""
    for module in pkgutil.walk_packages(ollm.__path__, "ollm."):
        if not module.name.startswith(("ollm.__main__", "ollm.store.migrations")):
            importlib.import_module(module.name)
    waiting = [base]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("ollm."):
            yield kind
