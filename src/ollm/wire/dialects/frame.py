"""What an answer to a client is put into."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.values.secret import Hidden
from ollm.wire.sse import data_event

_encode = msgspec.json.Encoder().encode


class Frame(Hidden, frozen=True):
    """`id` and `model` are ours, `members` the client's request, for APIs that repeat it, `include_usage` its wish where it speaks chat."""

    id: str
    model: str
    members: Mapping[str, msgspec.Raw]
    include_usage: bool = False

    def derived(self, prefix: str, number: int) -> str:
        """An id of a part of the answer: unique, and the same each time."""
        return f"{prefix}_{self.id.rpartition('_')[2].rpartition('-')[2]}_{number}"


def named_event(members: Mapping[str, Any]) -> bytes:
    """An event whose name is the member `type` of its data, as Messages and Responses have them."""
    return b"event: " + str(members["type"]).encode() + b"\n" + data_event(_encode(members))
