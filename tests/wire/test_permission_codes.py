"""Errors of permission and of trust."""

from ollm.wire.permission_codes import PERMISSION, TRUST


def test_what_is_not_permitted_is_never_called_a_failure_of_the_gateway() -> None:
    assert {name for name, code in PERMISSION.items() if code.status >= 500} == {"limits_unavailable"}
    assert {name for name, code in PERMISSION.items() if code.status == 429} == {"rate_limit_exceeded", "insufficient_quota"}
    assert all(code.group == "trust" for code in TRUST.values())


def test_refusals_for_trust_have_receipts() -> None:
    assert all(code.receipt for code in TRUST.values() if "inference" in code.where)
