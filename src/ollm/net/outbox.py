"""Small writes of one turn of the event loop leave together at its end.

Whoever reads at the other end of a local socket sleeps between two writes, and waking it costs more than the write: under load a tenth of
the gateway's time. Written one right after the other, the first wakes it and the rest find it awake.
"""

import asyncio
from weakref import WeakKeyDictionary

_SMALL = 16 * 1024  # bytes; more is worth a wake of its own, and isn't kept twice


class Outbox:
    """What is to leave at the end of this turn, in order. One for each event loop: see `outbox_of`."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write `data` to `transport` before the next turn is over; at once, behind all that waits, where it is large."""
        if len(data) > _SMALL:
            self.flush()
            transport.write(data)
            return
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Write what waits now: whoever closes or writes past this box does so first. What is closing already gets nothing more."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)


_boxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """The box of `loop`."""
    box = _boxes.get(loop)
    if box is None:
        box = _boxes[loop] = Outbox(loop)
    return box
