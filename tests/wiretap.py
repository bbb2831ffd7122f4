"""A wire between a gateway and a machine that a test can watch: TCP passed on byte for byte, counted by direction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from ollm.values.policy import AttestationPolicy
from tests.stage import Machine

_APPLICATION_DATA = 23  # record type of everything that is encrypted in TLS 1.3 (RFC 8446 §5.1)


class Wiretap:
    """Stands before `machine` under an address of its own; everything else is the machine's. `sent` has one buffer per connection."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.sent: list[bytearray] = []  # from the gateway to the machine
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def pcs_url(self) -> str:
        return self._machine.pcs_url

    @property
    def root_crl_url(self) -> str:
        return self._machine.root_crl_url

    @property
    def policy(self) -> AttestationPolicy:
        return self._machine.policy

    @property
    def sent_bytes(self) -> int:
        """All bytes towards the machine, TLS handshakes included."""
        return sum(map(len, self.sent))

    @property
    def largest_record(self) -> int:
        """Length of the largest encrypted TLS record towards the machine."""
        return max((length for stream in self.sent for kind, length in _records(stream) if kind == _APPLICATION_DATA), default=0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(self._machine.url.rpartition(":")[2])
        kept = bytearray()
        self.sent.append(kept)
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, inner_writer, kept), _pass_on(inner_reader, writer, None))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None) -> None:
    try:
        while data := await reader.read(65536):
            if kept is not None:
                kept += data
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass  # one side left; so does the other
    finally:
        writer.close()


def _records(stream: bytearray) -> list[tuple[int, int]]:
    """Type and length of each TLS record in `stream` (RFC 8446 §5.1)."""
    found = []
    at = 0
    while at + 5 <= len(stream):
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        found.append((stream[at], length))
        at += 5 + length
    return found


@contextlib.asynccontextmanager
async def tapped(machine: Any) -> AsyncIterator[Wiretap]:
    tap = Wiretap(machine)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
    tap.port = server.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        server.close()
