"""The rules of conftest.py hold: what they forbid is refused, what they promise is there."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
import uvloop

ELSEWHERE = "192.0.2.1"  # TEST-NET-1, RFC 5737


def test_a_socket_reaches_loopback_only() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with pytest.raises(RuntimeError, match="loopback only"):
            probe.connect((ELSEWHERE, 9))
        with pytest.raises(RuntimeError, match="loopback only"):
            probe.sendto(b"", (ELSEWHERE, 9))
        probe.connect(("127.0.0.1", 9))


def test_foreign_names_are_not_resolved() -> None:
    with pytest.raises(RuntimeError, match="loopback names only"):
        socket.getaddrinfo("example.invalid", 443)


async def test_asyncio_reaches_loopback_only() -> None:
    with pytest.raises(RuntimeError, match="loopback only"):
        await asyncio.open_connection(ELSEWHERE, 9)


def test_uvloop_reaches_loopback_only() -> None:
    async def reach() -> None:
        await asyncio.open_connection(ELSEWHERE, 9)

    loop = uvloop.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="loopback only"):
            loop.run_until_complete(reach())
    finally:
        loop.close()


def test_home_is_temporary() -> None:
    assert Path.home().name == "home"
    assert "OPENAI_API_KEY" not in os.environ


def test_a_unix_socket_fits_into_socket_dir(socket_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_dir / "a-name-of-usual-length.sock"))
