"""Who is calling, once that is known."""

import msgspec

from ollm.gateway.tokens import Issued
from ollm.values.level import Level
from ollm.values.secret import Sealed
from ollm.values.standing import Standing


class Caller(msgspec.Struct, frozen=True):
    standing: Standing
    secret: Sealed  # opens the caller's own receipts; lives as long as the request
    issued: Issued | None = None  # where it showed a token in place of a key
    told: bool = False  # whether it has to be told the secret, which was made for this request

    @property
    def key_id(self) -> str:
        return self.standing.key_id

    @property
    def floor(self) -> Level:
        return self.standing.floor
