"""A batch as parameters: what goes in, and what is refused before the server sees it."""

from typing import Any

import pytest

from ollm.errors import StoreError
from ollm.store.batch import COLUMNS, STATEMENT, judge, names_in, parameters
from ollm.store.schema import ledger
from ollm.values.usage import Usage
from tests.store.making import CANARY, KEY_ID, SESSION, entry

NAMES = {("key", KEY_ID), ("project", "proj_default"), ("endpoint", "chat.completions"), ("model", "llama-3.3/70b"), ("upstream", "enclave-1")}
NAMES |= {("session", SESSION), ("price", "config")}


def test_every_column_of_the_ledger_is_given_but_its_number() -> None:
    assert set(COLUMNS) == {column.name for column in ledger.columns} - {"entry"}
    assert STATEMENT.count("%s") == len(COLUMNS) + 2  # and where each receipt is, and its size
    assert STATEMENT.count("%b") == 1


def test_columns_are_arrays_and_receipts_one_string_of_bytes() -> None:
    batch = [
        judge(entry("aa" * 16, receipt=b"one")),
        judge(entry("bb" * 16, receipt=None, level=None, cost_micro=None)),
        judge(entry("cc" * 16, receipt=b"three")),
    ]
    assert names_in(batch) == NAMES
    given = dict(
        zip([*COLUMNS, "at", "size", "sealed"], parameters(batch, {name: number for number, name in enumerate(sorted(NAMES), 1)}), strict=True)
    )
    assert given["request_id"] == "{" + ",".join(letter * 32 for letter in "abc") + "}"
    assert given["level"] == "{tee,NULL,tee}"
    assert given["cost_micro"] == "{1234,NULL,1234}"
    assert given["streamed"] == "{1,1,1}"
    assert given["input_tokens"] == "{10,10,10}"
    assert (given["at"], given["size"], given["sealed"]) == ("{1,4,4}", "{3,0,5}", b"onethree")


@pytest.mark.parametrize(
    "changed",
    [
        *({"request_id": "short"}, {"request_id": "A" * 32}, {"request_id": CANARY}, {"key_id": None}, {"key_id": CANARY}, {"model": CANARY}),
        *({"model": "x" * 129}, {"model": ""}, {"session_id": "xy"}, {"endpoint": "chat completions"}, {"project": "p-1"}, {"price_version": 7}),
        *({"level": "none"}, {"status": "completed"}, {"http_status": "200 OK"}, {"http_status": 2**31}, {"started_ms": 2**63}),
        *({"started_ms": 1.5}, {"verify_us": None}, {"cost_micro": "1"}, {"cost_micro": 2**63}, {"reserved_micro": -1}, {"streamed": "yes"}),
        *({"receipt": b""}, {"receipt": bytes(65_537)}, {"receipt": "text"}, {"usage": None}, {"usage": Usage(input_tokens=-1)}),
        *({"usage": Usage(images=True)}, {"usage": Usage(tier="gold")}, {"model": "\ud800"}),  # type: ignore[arg-type]
    ],
)
def test_what_no_column_may_hold_is_refused_unquoted(changed: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="isn't one its column may hold") as refused:
        judge(entry(**changed))
    assert CANARY not in str(refused.value)
