"""Server-sent events: bytes in, events out, wherever the transport cut them (WHATWG HTML §9.2.6).

    stream  = [ BOM ] *event
    event   = *( comment / field ) end-of-line
    comment = ":" *any-char end-of-line
    field   = 1*name-char [ ":" [ space ] *any-char ] end-of-line
    end-of-line = CR LF / LF / CR

Only `data` and `event` are read; `id` and `retry` steer reconnection, which nobody does with a model's answer. An event
that the end of the stream cuts off is never seen, as the standard demands.
"""

from ollm.errors import WireError
from ollm.values.secret import Hidden

MEDIA_TYPE = b"text/event-stream"
MAX_EVENT = 4 * 1024 * 1024  # bytes of one event; an image in a chunk fits, a provider that never ends an event does not
KEEP_ALIVE = b": keep-alive\n\n"  # a comment: it tells what stands between that the stream lives, and readers pass it over
_BOM = b"\xef\xbb\xbf"


class Event(Hidden, frozen=True, gc=False):
    """One event. `name` is "" when the stream named none; lines of `data` are joined by LF. No repr: it is content."""

    data: bytes
    name: str = ""

    def __repr__(self) -> str:
        return "<event>"


class EventParser:
    """Incremental parser of one stream. `feed` returns the events that the new bytes completed."""

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._partial: list[bytes] = []  # pieces of a line whose end has not come
        self._data: list[bytes] = []  # data lines of the event that is being read
        self._size = 0  # bytes held in the two lists above
        self._name = ""
        self._after_cr = False  # a LF that comes next belongs to the CR before it
        self._first = True  # the first line may begin with a BOM
        self._overflown = False
        self._between = False  # the last line was an end of an event and nothing is held

    @property
    def cut(self) -> bool:
        """Whether an end of the stream here would cut an event off."""
        return bool(self._partial or self._data)

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes, in order.

        Raises: WireError when an event grows beyond the cap. Events before it in the same `data` are returned first and
        the next call raises, so that what is seen does not depend on where the transport cut.
        """
        # Nearly always one read is one event with one line of data; that needs no lines to be cut.
        if self._between and data.startswith(b"data: ") and data.endswith(b"\n\n"):
            size = len(data)
            if data.find(b"\n") == size - 2 and b"\r" not in data and size <= self._max:
                return [Event(data[6:-2])]
        events: list[Event] = []
        try:
            if self._overflown:
                self._grow(1)
            self._feed(data, events)
            self._between = not (self._partial or self._data or self._name or self._after_cr or self._first)
        except WireError:
            self._overflown, self._between = True, False
            if not events:
                raise
        return events

    def _feed(self, data: bytes, events: list[Event]) -> None:
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines:
            self._lines(lines, events)
        if rest:
            self._partial.append(rest)
            self._grow(len(rest))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._max:
            raise WireError("an event of the stream is too large")

    def _lines(self, lines: list[bytes], events: list[Event]) -> None:
        data_lines = self._data
        if self._partial:
            lines[0] = b"".join([*self._partial, lines[0]])
            self._size -= sum(map(len, self._partial))
            self._partial = []
        if self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if not line:
                if data_lines:
                    events.append(Event(data_lines[0] if len(data_lines) == 1 else b"\n".join(data_lines), self._name))
                    data_lines.clear()
                    self._size = 0
                self._name = ""
            elif line.startswith(b"data:"):
                self._grow(len(line))
                data_lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
            else:
                self._other(line)

    def _other(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":  # no colon: an empty line of data
            self._grow(len(line))
            self._data.append(b"")
        elif name == b"event":
            self._name = value.removeprefix(b" ")[:64].decode("ascii", "replace")


def data_event(data: bytes) -> bytes:
    """An event that carries `data`, which must be free of CR and LF (compact JSON is)."""
    return b"data: " + data + b"\n\n"
