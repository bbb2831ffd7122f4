"""The table of error codes: complete sentences, statuses that clients understand, and the operations where each can come."""

import re

import pytest

from ollm.wire.error_code import ErrorCode
from ollm.wire.error_codes import ERROR_CODES, codes_of
from ollm.wire.errors import STREAM_CODE


@pytest.mark.parametrize(("name", "code"), ERROR_CODES.items(), ids=ERROR_CODES.keys())
def test_each_code_says_what_it_is_why_it_comes_and_what_mends_it(name: str, code: ErrorCode) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{2,63}", name)
    assert 400 <= code.status < 600 or name == STREAM_CODE
    assert code.where
    assert "|" not in code.means and not code.means.endswith("."), "a cell of a table"
    assert code.cause.endswith(".") and code.mend.endswith(".")


def test_only_what_goes_the_way_of_a_prompt_has_a_receipt() -> None:
    assert all(code.where == ("inference",) for code in ERROR_CODES.values() if code.receipt)


def test_an_operation_has_the_errors_of_its_traits_and_those_of_all() -> None:
    health = codes_of(())
    assert {"bad_host", "overloaded", "internal_error"} <= set(health)
    assert not {"invalid_api_key", "model_not_found", "not_ready"} & set(health)
    chat = codes_of(("keyed", "body", "inference", "stored"))
    assert {"invalid_api_key", "request_too_large", "upstream_error", "store_unavailable", "bad_host"} <= set(chat)
    assert not {"unknown_url", "invalid_nonce", "not_found"} & set(chat)
