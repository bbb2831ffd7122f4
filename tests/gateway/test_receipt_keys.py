"""The key that a caller without a lasting secret brings for its receipts."""

import base64

import pytest

from ollm.errors import ApiError
from ollm.gateway.receipt_keys import receipt_key, told

KEY = bytes(range(32))
TEXT = base64.urlsafe_b64encode(KEY).rstrip(b"=")


def test_the_key_of_the_header() -> None:
    assert receipt_key({"headers": [(b"x-receipt-key", TEXT)]}) == (KEY, False)
    assert told(KEY) == (b"x-receipt-key", TEXT)


def test_without_one_a_new_one_is_made() -> None:
    (first, made), (second, _) = receipt_key({"headers": []}), receipt_key({"headers": []})
    assert made
    assert len(first) == 32
    assert first != second


@pytest.mark.parametrize("values", [[b""], [TEXT + b"="], [TEXT[:-1]], [TEXT, TEXT], [b"\xff" * 43], [TEXT[:-1] + b"+"]], ids=str)
def test_what_is_none_is_refused(values: list[bytes]) -> None:
    with pytest.raises(ApiError) as refused:
        receipt_key({"headers": [(b"x-receipt-key", value) for value in values]})
    assert (refused.value.status, refused.value.code) == (400, "invalid_receipt_key")
