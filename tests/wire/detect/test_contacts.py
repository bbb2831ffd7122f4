"""E-mail addresses, telephone numbers, IP addresses."""

import pytest

from ollm.wire.detect.contacts import EMAIL, IP, PHONE
from tests.wire.detect.finding import found


@pytest.mark.parametrize("text", ["a.b+c@example.co.uk", "x@y.de"])
def test_email(text: str) -> None:
    assert found(EMAIL, f"<{text}>, or not.") == [text]


@pytest.mark.parametrize("text", ["a@b", "@example.com", "a@example.", "user@host:path"])
def test_no_email(text: str) -> None:
    assert found(EMAIL, text) == []


@pytest.mark.parametrize("text", ["+49 30 901820", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671", "+442079460958"])
def test_phone(text: str) -> None:
    assert found(PHONE, f"({text})") == [text]


@pytest.mark.parametrize("text", ["4155552671", "+11111111111", "a+49 30 901820", "1-415-555-26711", "+99 1"])
def test_no_phone(text: str) -> None:
    assert found(PHONE, text) == []


@pytest.mark.parametrize("text", ["10.0.0.1", "255.255.255.255", "fe80::1", "2001:db8::8a2e:370:7334"])
def test_ip(text: str) -> None:
    assert found(IP, f"[{text}], and so on {text}.") == [text, text]


@pytest.mark.parametrize("text", ["1.2.3", "1.2.3.4.5", "256.1.1.1", "v1.2.3.4", "12:34:56", "a::b", "std::vector"])
def test_no_ip(text: str) -> None:
    assert found(IP, text) == []
