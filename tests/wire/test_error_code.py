"""What is said of one error."""

from ollm.wire.error_code import ErrorCode


def test_a_code_says_nothing_of_receipts_unless_it_does() -> None:
    code = ErrorCode(status=403, group="request", where=("keyed",), means="a", cause="b", mend="c")
    assert (code.receipt, code.in_type) == (False, False)
