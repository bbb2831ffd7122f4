"""Who is calling, once that is known."""

import msgspec

from ollm.values.level import Level
from ollm.values.secret import Sealed
from ollm.values.standing import Standing


class Caller(msgspec.Struct, frozen=True):
    standing: Standing
    secret: Sealed  # opens the caller's own receipts; lives as long as the request

    @property
    def key_id(self) -> str:
        return self.standing.key_id

    @property
    def floor(self) -> Level:
        return self.standing.floor
