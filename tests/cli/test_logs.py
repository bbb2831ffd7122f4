"""Log lines: fixed texts with named fields; of an exception its type and place, never its text."""

import contextlib
import io
import logging
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from ollm.cli import logs

SECRET = "the patient is called Doe"


@contextlib.contextmanager
def fresh_process() -> Iterator[io.StringIO]:
    """Standard error, with the root logger as a new process has it. (pytest puts handlers on it for the time of a test.)"""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        with patch("sys.stderr", io.StringIO()) as stream:
            yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_a_line_has_its_fields() -> None:
    with fresh_process() as written:
        logs.configure(None)
        logging.getLogger("ollm.test").warning("upstream not verified", extra={"upstream": "near", "error": "Unverified"})
    assert written.getvalue() == "WARNING ollm.test: upstream not verified upstream=near error=Unverified\n"


def test_an_exception_is_told_by_place_and_type() -> None:
    with fresh_process() as written:
        logs.configure(None)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("some.library").exception("it failed")
    assert SECRET not in written.getvalue()
    assert "test_logs.py" in written.getvalue()
    assert written.getvalue().endswith("ValueError\n")


@pytest.mark.parametrize(("level", "lowest"), [(None, "WARNING"), ("debug", "DEBUG"), ("INFO", "INFO"), ("error", "ERROR")])
def test_the_level_holds_for_every_logger(level: str | None, lowest: str) -> None:
    with fresh_process() as written:
        logs.configure(level)
        for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger("some.library").log(number, "said")
    assert written.getvalue().split()[0] == lowest


def test_an_unknown_level_is_told_and_means_warnings() -> None:
    with fresh_process() as written:
        logs.configure("everything")
        logging.getLogger("ollm.test").info("unseen")
    assert written.getvalue() == "WARNING ollm.cli: OLLM_LOG is none of debug, info, warning, error; warnings are logged\n"
