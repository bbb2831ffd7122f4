"""What a check is worth."""

import msgspec


class Proof(msgspec.Struct, frozen=True):
    """What a passed check proves, and where that is demanded."""

    proves: str
    source: str
