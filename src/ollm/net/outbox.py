"""Small writes of one turn of the event loop leave together at its end.

Whoever reads at the other end of a local socket sleeps between two writes, and waking it costs more than the write: under load a tenth of
the gateway's time. Written one right after the other, the first wakes it and the rest find it awake.
"""

import asyncio
from weakref import WeakKeyDictionary

_HELD = 64 * 1024  # bytes of all that wait; with more they leave at once, so that a full transport says so to whoever writes on and on


class Outbox:
    """What is to leave at the end of this turn, in order. One for each event loop, used within it alone: see `outbox_of`."""

    __slots__ = ("_held", "_waiting")  # not the loop: the box is kept for as long as the loop is

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []
        self._held = 0

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write `data` to `transport` before the next turn is over; at once, behind all that waits, where that is much."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, data))
        self._held += len(data)
        if self._held > _HELD:
            self.flush()

    def flush(self) -> None:
        """Write what waits now: whoever closes or writes past this box does so first. What is closing already gets nothing more."""
        waiting, self._waiting = self._waiting, []
        self._held = 0
        for transport, data in waiting:
            try:
                if not transport.is_closing():  # uvloop's raise once they are closed
                    transport.write(data)
            except Exception as problem:  # noqa: BLE001  # whatever it is, the others' data must leave
                transport.abort()
                asyncio.get_running_loop().call_exception_handler({"message": "a write that was put off failed", "exception": problem})


_boxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """The box of `loop`."""
    box = _boxes.get(loop)
    if box is None:
        box = _boxes[loop] = Outbox()
    return box
