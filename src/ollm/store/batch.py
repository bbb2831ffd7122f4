"""A batch of ledger entries as the parameters of one PostgreSQL statement.

Each column goes as one array and all receipts as one string of bytes, cut up by the server: one round trip writes a batch with its
receipts, and a request that has its row already adds neither row nor receipt. Every value is judged here before it goes: what a CHECK
refuses, the server would quote in its log.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ollm.errors import StoreError
from ollm.store.schema import KINDS, LEVELS, MAX_RECEIPT
from ollm.values.ledger import Entry, Status
from ollm.values.usage import COUNTS, TIERS

UNFIT = "storing the ledger entry failed: it holds a value that isn't one its column may hold"

_NAMES = {
    "key": "key_id",
    "project": "project",
    "endpoint": "endpoint",
    "model": "model",
    "upstream": "upstream",
    "session": "session_id",
    "price": "price_version",
}
_REQUIRED = frozenset({"key", "project", "endpoint"})
_PATTERNS = {kind: re.compile(f"[{re.escape(charset)}]{{1,{longest}}}") for kind, (charset, longest) in KINDS.items()}
_ID = re.compile(r"[0-9a-f]{32}")
_INT, _BIG = 2**31, 2**63

_TEXTS = ("request_id", "level", "status", "tier")
_INTS = ("http_status", "streamed", "estimated", "count_mismatch", *_NAMES)
_BIGS = ("started_ms", *COUNTS, "cost_micro", "reserved_micro", "verify_us", "headers_us", "first_us", "total_us")
COLUMNS = (*_TEXTS, *_INTS, *_BIGS)
_TYPES = ["text"] * len(_TEXTS) + ["int"] * len(_INTS) + ["bigint"] * len(_BIGS)

Name = tuple[str, str]  # kind and name
Values = tuple[object, ...]


class Judged(NamedTuple):
    """An entry whose values are fit, with the names that its row refers to by number."""

    request_id: str
    texts: tuple[str, ...]
    smalls: tuple[int, ...]
    names: tuple[Name | None, ...]
    bigs: tuple[int | None, ...]
    receipt: bytes | None

    @property
    def lost(self) -> bool:
        """Whether it says that its request was lost."""
        return self.texts[_TEXTS.index("status")] == Status.LOST.value


def _statement() -> str:
    arrays = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
    columns = ", ".join(COLUMNS)
    return (
        f"WITH given AS MATERIALIZED (SELECT * FROM unnest({arrays}, %s::int[], %s::int[]) WITH ORDINALITY AS g ({columns}, at, size, place)), "  # noqa: S608
        f"new AS (INSERT INTO ledger ({columns}) SELECT {columns} FROM given ORDER BY place "
        "ON CONFLICT (request_id) DO NOTHING RETURNING request_id) "
        "INSERT INTO receipts (request_id, sealed) "
        "SELECT given.request_id, substring(%b::bytea FROM at FOR size) FROM given JOIN new USING (request_id) WHERE size > 0"
    )


STATEMENT = _statement()
FIND_LOST = "SELECT request_id FROM ledger WHERE status = 'lost' AND request_id = ANY(%s::text[])"


def judge(entry: Entry) -> Judged:
    """`entry` with its values looked at. Raises: StoreError for what no column may hold."""
    try:
        usage = entry.usage
        texts = (entry.request_id, entry.level or "NULL", entry.status.value, usage.tier or "NULL")
        fit = (
            _ID.fullmatch(entry.request_id) is not None
            and (entry.level is None or entry.level in LEVELS)
            and (usage.tier is None or usage.tier in TIERS)
            and (entry.receipt is None or (type(entry.receipt) is bytes and 1 <= len(entry.receipt) <= MAX_RECEIPT))
        )
        smalls = (entry.http_status, int(entry.streamed), int(usage.estimated), int(usage.count_mismatch))
        names = tuple(_name(kind, getattr(entry, field)) for kind, field in _NAMES.items())
        counts = tuple(getattr(usage, count) for count in COUNTS)
        others = (entry.verify_us, entry.headers_us, entry.first_us, entry.total_us)
        bigs = (entry.started_ms, *counts, entry.cost_micro, entry.reserved_micro, *others)
        fit = fit and all(_is_count(count) for count in counts) and (entry.reserved_micro is None or _is_count(entry.reserved_micro))
        fit = fit and all(_is_int(value, _INT) for value in smalls) and all(_is_int(value, _BIG) for value in (entry.started_ms, *others))
        fit = fit and (entry.cost_micro is None or _is_int(entry.cost_micro, _BIG))
    except (AttributeError, TypeError, ValueError):
        raise StoreError(UNFIT) from None
    if not fit:
        raise StoreError(UNFIT)
    return Judged(entry.request_id, texts, smalls, names, bigs, entry.receipt)


def _is_int(value: object, bound: int) -> bool:
    return type(value) is int and -bound <= value < bound


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _BIG


def _name(kind: str, name: str | None) -> Name | None:
    if name is None and kind not in _REQUIRED:
        return None
    if not isinstance(name, str) or _PATTERNS[kind].fullmatch(name) is None:
        raise StoreError(UNFIT)
    return kind, str(name)


def names_in(batch: Sequence[Judged]) -> set[Name]:
    """All names that rows of the batch refer to."""
    return {name for each in batch for name in each.names if name is not None}


def parameters(batch: Sequence[Judged], numbers: dict[Name, int]) -> list[object]:
    """What STATEMENT takes for `batch`, in which each request occurs once. `numbers` has all of its names."""
    columns: list[Sequence[object]] = [*zip(*(each.texts for each in batch), strict=True)]
    columns += zip(*(each.smalls for each in batch), strict=True)
    columns += zip(*([None if name is None else numbers[name] for name in each.names] for each in batch), strict=True)
    columns += zip(*(each.bigs for each in batch), strict=True)
    at, sizes, sealed = [], [], bytearray()
    for each in batch:
        receipt = each.receipt or b""
        at.append(len(sealed) + 1)  # SQL counts from 1
        sizes.append(len(receipt))
        sealed += receipt
    return [*(_array(column) for column in (*columns, at, sizes)), bytes(sealed)]


def ids(requests: Sequence[str]) -> str:
    """What FIND_LOST takes: ids that were judged."""
    return _array(requests)


def _array(column: Sequence[object]) -> str:
    """A PostgreSQL array of numbers and of plain words, which need no quotes."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in column]) + "}"
