import json

from ollm.wire.errors import error_body


def test_all_four_members_are_there_as_openai_demands() -> None:
    body = error_body("invalid_request_error", None, "No.")
    assert json.loads(body) == {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}}


def test_the_body_fits_into_one_line_of_a_stream() -> None:
    assert b"\n" not in error_body("t", "c", "two\nlines", "messages")
