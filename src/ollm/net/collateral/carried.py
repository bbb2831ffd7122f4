"""A shelf in memory: what one archive holds, for a command that judges with exactly that."""

from collections.abc import Iterable

from ollm.net.collateral.artefact import Artefact, Key


class Carried:
    """`cache.Shelf` over `copies`; of two for one key the later stands, and nothing is written."""

    def __init__(self, copies: Iterable[Artefact]) -> None:
        self._copies = {copy.key: copy for copy in copies}

    def read(self, key: Key, now: int) -> Artefact | None:
        """The copy for `key`, if its time is not over."""
        copy = self._copies.get(key)
        return copy if copy is not None and now < copy.term.end else None

    def write(self, copy: Artefact, now: int) -> None:
        """Nothing: an archive stays what it is."""
