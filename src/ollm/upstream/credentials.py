"""The keys that an operator has with one provider: which of them goes with a request, and which is not worth one now.

Keys take turns. One that the provider refuses (401, 402, 403) is set aside for a while, and one that it limits (429) for as long as it says. Where
none is left the one that is due soonest is used all the same: the provider may have changed its mind, and nobody else can find out.

Heads are written with the key that was chosen last, so `choose` and the writing of a head belong together, with nothing awaited between them.
"""

from collections.abc import Sequence

from ollm.values.secret import Sealed

_REFUSED_SECONDS = 300.0  # an operator who mends an account sees the key used again without a restart
_LIMITED_SECONDS = 2.0  # where the provider names no time
_LONGEST_LIMIT = 300.0


class Credentials(Sealed):
    """At least one key. `expose` gives the one that was chosen last. Times are seconds of one clock."""

    __slots__ = ("_chosen", "_keys", "_until")

    def __init__(self, keys: Sequence[Sealed]) -> None:
        super().__init__(b"")
        self._keys = tuple(keys)
        self._until = [0.0] * len(keys)  # when each may be used again
        self._chosen = len(keys) - 1

    def __len__(self) -> int:
        return len(self._keys)

    def expose(self) -> bytes:
        return self._keys[self._chosen].expose()

    def choose(self, now: float) -> int:
        """Let the next key that may be used go with what is written now; its number."""
        count = len(self._keys)
        turn = [(self._chosen + step) % count for step in range(1, count + 1)]
        usable = [number for number in turn if self._until[number] <= now]
        self._chosen = usable[0] if usable else min(turn, key=self._until.__getitem__)
        return self._chosen

    def use(self, number: int) -> None:
        """Let the key of this number go with what is written now: for what belongs to a request that it went with."""
        self._chosen = number

    def told(self, number: int, status: int, pause: float | None, now: float) -> bool:
        """What the provider answered to key `number`; `pause`: seconds that it asked for. Whether another key may be used now."""
        if status in (401, 402, 403):
            self._until[number] = now + _REFUSED_SECONDS
        elif status == 429:
            self._until[number] = now + min(_LIMITED_SECONDS if pause is None else pause, _LONGEST_LIMIT)
        elif status < 400:
            self._until[number] = 0.0
        return any(until <= now for other, until in enumerate(self._until) if other != number)
