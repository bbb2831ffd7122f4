"""What the tests of provenance share."""

from collections.abc import Callable
from typing import Any

import pytest

from ollm.errors import EvidenceRefused

NOW = 1_790_000_000


def refusal(call: Callable[..., object], *args: Any, **kwargs: Any) -> EvidenceRefused:
    """The refusal that `call` ends with."""
    with pytest.raises(EvidenceRefused) as refused:
        call(*args, **kwargs)
    return refused.value


def caught(call: Callable[..., object], *args: Any, **kwargs: Any) -> EvidenceRefused | None:
    """The refusal of `call`, if it refuses; anything else escapes and fails the test."""
    try:
        call(*args, **kwargs)
    except EvidenceRefused as refused:
        return refused
    return None
