import json

import pytest

from ollm.wire.errors import error_body, status_in, status_said


def test_all_four_members_are_there_as_openai_demands() -> None:
    body = error_body("invalid_request_error", None, "No.")
    assert json.loads(body) == {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}}


def test_the_body_fits_into_one_line_of_a_stream() -> None:
    assert b"\n" not in error_body("t", "c", "two\nlines", "messages")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (b'{"code":429,"message":"x"}', 429),
        (b'{"code":"503"}', 503),
        (b'{"code":"rate_limit_exceeded","type":"requests"}', 429),
        (b'{"code":null,"type":"overloaded_error"}', 503),
        (b'{"code":"x","type":"invalid_request_error"}', 400),
        (b'{"code":200}', None),
        (b'{"code":"99999999999999999999"}', None),
        ('{"code":"٤٢٩"}'.encode(), None),
        (b'{"code":"x","type":"y"}', None),
        (b'{"code":{}}', None),
        (b'"in full: the prompt"', None),
        (b'{"type":"\xff"}', None),
        (b"", None),
    ],
)
def test_the_status_that_an_error_object_stands_for(error: bytes, status: int | None) -> None:
    assert status_said(error) == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":{"code":429,"message":"x"}}', 429),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', 503),
        (b'{"type":"error","code":"rate_limit_exceeded","message":"x"}', 429),
        (b'{"type":"response.failed","response":{"error":{"code":"server_error"}}}', 500),
        (b'{"error":null,"code":500}', 500),
        (b'{"response":"x","error":{"code":429}}', None),
        (b'{"error":"the prompt"}', None),
        (b"not JSON", None),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b',"error":{"code":429}}', None),
    ],
)
def test_the_status_of_an_error_that_something_holds(body: bytes, status: int | None) -> None:
    assert status_in(body) == status
