"""Receipts are given to the credential of their request, and forgotten in order."""

import pytest

from ollm.errors import ApiError
from ollm.sim.kept import KeptReceipts


def status(kept: KeptReceipts, name: str, bearer: str | None) -> int:
    try:
        kept.get(name, bearer=bearer)
    except ApiError as error:
        return error.status
    return 200


def test_a_receipt_is_found_by_its_id_and_by_the_answers() -> None:
    kept = KeptReceipts()
    kept.put("rcpt-1", b"{}", chat_id="chatcmpl-1", bearer="sk")
    assert kept.get("rcpt-1", bearer="sk") == kept.get("chatcmpl-1", bearer="sk") == b"{}"


@pytest.mark.parametrize(("bearer", "expected"), [("sk", 200), (None, 401), ("other", 404)])
def test_only_the_same_credential_gets_it(bearer: str | None, expected: int) -> None:
    kept = KeptReceipts()
    kept.put("rcpt-1", b"{}", chat_id=None, bearer="sk")
    assert status(kept, "rcpt-1", bearer) == expected


def test_a_request_without_a_credential_has_a_public_receipt() -> None:
    kept = KeptReceipts()
    kept.put("rcpt-1", b"{}", chat_id=None, bearer=None)
    assert status(kept, "rcpt-1", None) == 200


def test_an_unknown_receipt_looks_like_a_foreign_one() -> None:
    kept = KeptReceipts()
    assert status(kept, "rcpt-1", "sk") == 404
    assert status(kept, "rcpt-1", None) == 401


def test_the_oldest_receipt_is_forgotten_first() -> None:
    kept = KeptReceipts(limit=2)
    for number in range(3):
        kept.put(f"rcpt-{number}", b"{}", chat_id=f"chat-{number}", bearer="sk")
    assert [status(kept, f"rcpt-{number}", "sk") for number in range(3)] == [404, 200, 200]
    assert [status(kept, f"chat-{number}", "sk") for number in range(3)] == [404, 200, 200]


def test_an_engine_that_repeats_its_ids_does_not_lose_the_newer_receipt() -> None:
    kept = KeptReceipts(limit=1)
    kept.put("rcpt-1", b"old", chat_id="chat", bearer="sk")
    kept.put("rcpt-2", b"new", chat_id="chat", bearer="sk")
    assert kept.get("chat", bearer="sk") == b"new"
