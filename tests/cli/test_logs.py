"""Log lines: fixed texts with named fields; of an exception its type and place, never its text."""

import asyncio
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from unittest.mock import patch

import httpx2
import pytest
import sqlalchemy
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import load_der_x509_certificate

from ollm.cli import logs
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki

SECRET = "the patient is called Doe"


@contextlib.contextmanager
def fresh_process() -> Iterator[io.StringIO]:
    """Standard error, with the root logger as a new process has it. (pytest puts handlers on it for the time of a test.)"""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    libraries = {name: logging.getLogger(name).level for name in (*logs.TELLTALES, *logs.SILENT)}
    root.handlers.clear()
    try:
        with patch("sys.stderr", io.StringIO()) as stream:
            yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, previous in libraries.items():
            logging.getLogger(name).setLevel(previous)


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


def test_libraries_that_print_what_passes_through_them_are_kept_to_warnings() -> None:
    async def fetch(server: asyncio.Server) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            await client.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{SECRET}")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-text: {SECRET}\r\n\r\n".encode())
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            await fetch(server)
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.select(sqlalchemy.literal(SECRET))).scalar() == SECRET
        engine.dispose()

    with fresh_process() as written:
        logs.configure("debug")
        asyncio.run(work())
    assert SECRET not in written.getvalue()
    assert SECRET.split()[1] not in written.getvalue()


def test_libraries_whose_warnings_quote_what_others_said_are_silent() -> None:
    with fresh_process() as written:
        logs.configure("debug")
        logging.getLogger("psycopg").error("error ignored: %s", SECRET)
        logging.getLogger("psycopg.pool").warning("error ignored: %s", SECRET)
    assert written.getvalue() == ""


def test_an_unknown_level_is_told_and_means_warnings() -> None:
    with fresh_process() as written:
        logs.configure("everything")
        logging.getLogger("ollm.test").info("unseen")
    assert written.getvalue() == "WARNING ollm.cli: OLLM_LOG is none of debug, info, warning, error; warnings are logged\n"


def test_amds_serial_number_is_no_news_to_an_operator() -> None:
    now = 1_800_000_000
    certificate = SnpMachine(create_pki("Genoa", now), now).leaf()  # with serial number 0, as AMD's

    with fresh_process(), warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        load_der_x509_certificate(certificate)
        assert len(told) == 1
        logs.configure(None)
        load_der_x509_certificate(certificate)
        assert len(told) == 1
        warnings.warn("something else", CryptographyDeprecationWarning, stacklevel=1)
        assert len(told) == 2
