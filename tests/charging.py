"""What a test's request is charged."""

from collections.abc import Sequence

from ollm.traffic.charges import Charges, Load, charged, meters
from ollm.values.terms import Terms


def charges(standing: Sequence[tuple[str, Terms]], model: str, load: Load, now: int) -> Charges:
    """`charged` on the `meters` of `standing`. Raises: ValueError."""
    return charged(meters(tuple(standing), model, now), load)
