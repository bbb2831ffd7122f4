"""What is said of one error that the gateway answers with. The tables are `error_codes` and `permission_codes`."""

from typing import Literal, TypeAlias

import msgspec

# Traits of operations: an error comes where the operation has one of its traits.
Trait: TypeAlias = Literal[
    "any",  # every request, before or whatever it asks for
    "keyed",  # wants an API key
    "body",  # reads a body
    "inference",  # goes the way of a prompt
    "model",  # names a model in its path
    "query",  # reads the query string
    "receipt",
    "session",
    "attestation",
    "ready",
    "stored",  # reads or writes records
    "refused",  # known and not served
    "unrouted",  # no operation of this gateway
]
Group: TypeAlias = Literal["request", "connection", "trust", "provider", "gateway"]


class ErrorCode(msgspec.Struct, frozen=True, kw_only=True):
    """`means` in one line; `cause` and `mend` in sentences. Texts are Markdown for the reference page."""

    status: int
    group: Group
    where: tuple[Trait, ...]
    means: str
    cause: str
    mend: str
    receipt: bool = False  # the answer has x-receipt-id
    in_type: bool = False  # the name stands in `type`, and `code` is null: ACI's wish
