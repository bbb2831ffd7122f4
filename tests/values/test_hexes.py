"""Each of these strings has one spelling."""

import pytest

from ollm.errors import WireError
from ollm.values.hexes import hex32, sha256_name, sha256_of

GOOD = "0123456789abcdef" * 4
BAD = ["", GOOD[:-1], GOOD + "0", GOOD.upper(), "0x" + GOOD[2:], GOOD[:-1] + "g", GOOD + "\n", GOOD[:-1] + "\n", " " + GOOD[1:], "٠" * 64]


def test_one_spelling_is_accepted() -> None:
    assert hex32(GOOD) == GOOD
    assert sha256_name("sha256:" + GOOD) == "sha256:" + GOOD


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_every_other_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        hex32(text)
    with pytest.raises(WireError):
        sha256_name("sha256:" + text)


@pytest.mark.parametrize("text", [GOOD, "SHA256:" + GOOD, "sha256-" + GOOD, "sha512:" + GOOD, " sha256:" + GOOD])
def test_a_digest_names_its_algorithm(text: str) -> None:
    with pytest.raises(WireError):
        sha256_name(text)


def test_the_digest_of_the_reference_body() -> None:
    body = b'{"messages":[{"content":"hi","role":"user"}],"model":"demo-model"}'
    assert sha256_of(body) == "sha256:94d809bf47380d8a2eab0eb6e126d4dda9364b0b4725cdf7ead52dd70b2aa87b"
    assert sha256_name(sha256_of(b"")) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
