"""Requests through one direction, as JSON values."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.wire.dialects import DIALECTS
from ollm.wire.strict_json import parse_object
from tests.wire.dialects.examples import BASES


def parsed(body: bytes) -> dict[str, msgspec.Raw]:
    """A body as it reaches the dialect."""
    return parse_object(body)


def translated(asked: str, spoken: str, *, stream: bool = False, **members: Any) -> Any:
    """What the provider is asked, for the base request with `members`; None takes one away."""
    values: Mapping[str, Any] = {name: value for name, value in (BASES[asked] | members).items() if value is not None}
    return json.loads(DIALECTS[asked, spoken].request(parsed(json.dumps(values).encode()), "up/m", stream=stream))
