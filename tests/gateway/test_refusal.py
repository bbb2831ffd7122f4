"""A refusal by policy."""

from ollm.errors import ApiError
from ollm.gateway.refusal import PolicyRefusal


def test_it_carries_what_the_client_and_the_receipt_are_told() -> None:
    error = ApiError(403, "permission_error", "policy_refused", "no")
    refusal = PolicyRefusal(error, "policy: no")
    assert (refusal.error, refusal.reason, str(refusal)) == (error, "policy: no", "policy: no")
